//! The detection error trade-off curve (Martin et al., "The DET curve in assessment of detection
//! task performance", Eurospeech 1997): FRR against FAR, both axes scaled by the normal deviate, so
//! that normally distributed scores give a straight line and good verifiers are told apart.

use super::trials::Trials;
use serde::Serialize;

/// A point of the curve: what some threshold does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DetPoint {
    /// FAR: share of the pairs of different people that are accepted.
    pub far: f64,
    /// FRR: share of the pairs of one person that are rejected.
    pub frr: f64,
    /// The threshold on the distance; see [`Threshold::distance`](super::threshold::Threshold).
    pub threshold: f64,
}

impl Trials {
    /// The whole curve, from (FAR 0, FRR 1) to (FAR 1, FRR 0); only the points where it turns. The
    /// deviates of its ends are infinite: a plot ends at the rates that the trials can tell.
    pub fn det(&self) -> Vec<DetPoint> {
        let same = self.same() as f64;
        // Counts, not 1 − TAR, so that one rejected pair of many is exactly one.
        let frr = |tar: f64| (same - (tar * same).round()) / same;
        self.roc().points.iter().map(|at| DetPoint { far: at.far, frr: frr(at.tar), threshold: at.threshold }).collect()
    }
}

/// Φ⁻¹(p): the value that a standard normal variable stays below with probability `p`; ∓∞ at 0 and
/// 1, NaN outside. Algorithm AS 241, PPND16 (Wichura, Applied Statistics 37(3), 1988), relative
/// error about 1e-16.
pub fn normal_deviate(p: f64) -> f64 {
    /// A polynomial, coefficients from the constant on.
    fn polynomial(coefficients: &[f64], x: f64) -> f64 {
        coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * x + coefficient)
    }
    if !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    let centred = p - 0.5;
    if centred.abs() <= 0.425 {
        let x = 0.180625 - centred * centred;
        return centred * polynomial(&CENTRE.0, x) / polynomial(&CENTRE.1, x);
    }
    let tail = p.min(1.0 - p);
    if tail == 0.0 {
        return f64::INFINITY.copysign(centred);
    }
    let r = (-tail.ln()).sqrt();
    let (x, (above, below)) = if r <= 5.0 { (r - 1.6, &TAIL) } else { (r - 5.0, &FAR_TAIL) };
    (polynomial(above, x) / polynomial(below, x)).copysign(centred)
}

/// Numerator and denominator of a rational function.
type Rational = ([f64; 8], [f64; 8]);

/// |p − ½| ≤ 0.425.
const CENTRE: Rational = (
    [
        3.387_132_872_796_366_5,
        133.141_667_891_784_38,
        1_971.590_950_306_551_3,
        13_731.693_765_509_46,
        45_921.953_931_549_87,
        67_265.770_927_008_7,
        33_430.575_583_588_13,
        2_509.080_928_730_122_7,
    ],
    [
        1.0,
        42.313_330_701_600_91,
        687.187_007_492_057_9,
        5_394.196_021_424_751,
        21_213.794_301_586_597,
        39_307.895_800_092_71,
        28_729.085_735_721_943,
        5_226.495_278_852_854,
    ],
);
/// √(−ln p) ≤ 5.
const TAIL: Rational = (
    [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        0.241_780_725_177_450_6,
        0.022_723_844_989_269_184,
        7.745_450_142_783_414e-4,
    ],
    [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        0.689_767_334_985_1,
        0.148_103_976_427_480_08,
        0.015_198_666_563_616_457,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ],
);
/// Beyond.
const FAR_TAIL: Rational = (
    [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        0.296_560_571_828_504_87,
        0.026_532_189_526_576_124,
        0.001_242_660_947_388_078_4,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ],
    [
        1.0,
        0.599_832_206_555_888,
        0.136_929_880_922_735_8,
        0.014_875_361_290_850_615,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_8e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
    ],
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::{distances_with_ties, judged};
    use proptest::prelude::*;

    #[test]
    fn deviates_of_tables() {
        // Python 3.11, statistics.NormalDist().inv_cdf.
        for (p, deviate) in [
            (1e-300, -37.0470962993612),
            (1e-15, -7.941345326170995),
            (1e-12, -7.034483825301132),
            (1e-06, -4.753424308822899),
            (0.001, -3.090232306167813),
            (0.01, -2.3263478740408408),
            (0.05, -1.6448536269514726),
            (0.075, -1.4395314709384557),
            (0.0751, -1.4388253927525398),
            (0.2, -0.8416212335729142),
            (0.45, -0.125661346855074),
            (0.6, 0.2533471031357998),
            (0.925, 1.439531470938456),
            (0.975, 1.9599639845400536),
            (0.999, 3.090232306167813),
        ] {
            approx::assert_relative_eq!(normal_deviate(p), deviate, max_relative = 1e-14);
        }
        assert_eq!(normal_deviate(0.5), 0.0);
        assert_eq!((normal_deviate(0.0), normal_deviate(1.0)), (f64::NEG_INFINITY, f64::INFINITY));
        assert!(normal_deviate(-0.1).is_nan() && normal_deviate(1.1).is_nan() && normal_deviate(f64::NAN).is_nan());
    }

    #[test]
    fn normal_scores_give_a_straight_line() {
        // Distances at the quantiles of N(0, 1) and N(2, 1): deviate(FRR) = −deviate(FAR) − 2.
        let quantiles = (1..2000).map(|i| normal_deviate(f64::from(i) / 2000.0));
        let trials = Trials::new(quantiles.flat_map(|d| [(d, true), (d + 2.0, false)])).unwrap();
        for point in trials.det().iter().filter(|p| p.far > 0.01 && p.frr > 0.01) {
            let sum = normal_deviate(point.frr) + normal_deviate(point.far);
            assert!((sum + 2.0).abs() < 0.05, "{point:?}: {sum}");
        }
    }

    proptest! {
        #[test]
        fn deviates_are_odd_and_rise(p in 0.0f64..0.5, more in 0.0f64..0.5) {
            let deviate = normal_deviate(p);
            prop_assert!(deviate <= normal_deviate(p + more) + 1e-12);
            // 1 − p is rounded, which the tail magnifies.
            if p > 1e-9 {
                prop_assert!((deviate + normal_deviate(1.0 - p)).abs() < 1e-6);
            }
        }

        #[test]
        fn points_are_what_their_thresholds_do(sample in distances_with_ties()) {
            let det = Trials::new(sample.iter().copied()).unwrap().det();
            prop_assert_eq!((det[0].far, det[0].frr), (0.0, 1.0));
            for point in &det {
                let judged = judged(&sample, point.threshold);
                prop_assert_eq!((point.far, point.frr), (judged.far, judged.frr));
            }
        }
    }
}
