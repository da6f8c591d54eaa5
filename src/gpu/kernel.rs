//! From a `.wgsl` file to the text that one pipeline compiles.
//!
//! Each file under `kernels/` is valid WGSL as it stands, with small default shapes. Specialising it does eight things,
//! all on text, so that what a driver sees can be printed and read:
//!
//! 1. the value of each named `const NAME: u32 = …;` line is replaced by the shape in use;
//! 2. loops that end in `{ // unroll` are written out, each copy with its counter as a `const`. Private arrays are then
//!    only indexed by constants and live in registers on every driver, whatever its own unrolling limits;
//! 3. a `var<storage, read>` array may be bound as a uniform buffer of fixed length: a uniform address is then one
//!    scalar load and a broadcast, where a storage load costs one load a lane on some drivers;
//! 4. where `const SUBGROUP: u32` is 1, the lanes of a workgroup share nothing: `subgroupBroadcast` becomes a function
//!    that returns the invocation's own value. Otherwise SUBGROUP is the size of every subgroup and of the workgroup;
//! 5. loops of this crate's kernels may test at their end ([`super::loops`]);
//! 6. where several nets run in one dispatch, every access to a binding goes to the slice of the workgroup's net
//!    ([`super::nets`]). Kernels are written for one net and never see it;
//! 7. arrays may be read as images, each load that of a texel: those that are only read, and those whose declaration says
//!    `// in place` ([`super::texels`]);
//! 8. stores marked `// all lanes` may be done by half of a subgroup's lanes ([`super::halves`]).

use super::{halves, loops, nets, texels};

/// `kernels/shared/linear.wgsl`, for kernels of other crates.
pub const LINEAR: &str = include_str!("../../kernels/shared/linear.wgsl");

/// A WGSL file and the snippets under `kernels/shared` it uses.
#[derive(Debug)]
pub struct Kernel {
    /// File name without the folder.
    pub file: &'static str,
    /// Its text.
    pub source: &'static str,
    /// Texts put in front of it.
    pub shared: &'static [&'static str],
    /// Whether it is one of this crate's, whose tests run it in all its texts, with and without bounds checks: only those may
    /// go without, and loop otherwise.
    pub(super) own: bool,
}

impl Kernel {
    /// A kernel of another crate. It always carries bounds checks.
    pub const fn new(file: &'static str, source: &'static str, shared: &'static [&'static str]) -> Self {
        Self { file, source, shared, own: false }
    }

    /// A kernel of this crate, see [`kernel!`].
    pub(crate) const fn own(file: &'static str, source: &'static str, shared: &'static [&'static str]) -> Self {
        Self { file, source, shared, own: true }
    }
}

/// Declares the [`Kernel`] of a file in this crate's `kernels/`, with shared snippets by name.
macro_rules! kernel {
    ($file:literal $(, $shared:literal)*) => {
        $crate::gpu::Kernel::own(
            $file,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/kernels/", $file)),
            &[$(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/kernels/shared/", $shared))),*],
        )
    };
}
pub(crate) use kernel;

/// Values for a kernel's constants, and which of its inputs are uniform buffers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Specialization {
    /// `(name, value)` of `const NAME: u32` lines.
    pub constants: Vec<(&'static str, u32)>,
    /// `(variable, array length)` of storage arrays to read as uniforms.
    pub uniforms: Vec<(&'static str, u32)>,
    /// Bytes from one net's copy of `@binding(0)`, `@binding(1)`, … to the next net's; `None` for what all nets share.
    /// Empty for one net, whose text has no net index.
    pub net_strides: Vec<Option<u64>>,
    /// Numbers of the images that arrays are read as.
    pub texels: Vec<usize>,
    /// Whether loops of this crate's kernels test at their end.
    pub loops_tested_last: bool,
    /// Whether the lower lanes of a subgroup do what the upper ones store.
    pub halves: bool,
}

impl Specialization {
    /// Constants only.
    pub fn constants(constants: &[(&'static str, usize)]) -> Self {
        Self { constants: constants.iter().map(|(name, value)| (*name, *value as u32)).collect(), ..Self::default() }
    }

    /// More constants.
    #[must_use]
    pub fn with(mut self, constants: &[(&'static str, usize)]) -> Self {
        self.constants.extend(constants.iter().map(|(name, value)| (*name, *value as u32)));
        self
    }

    /// Reads the float array `variable`, of `elements` numbers, as a uniform buffer where `limit` bytes allow.
    pub fn uniform_if_it_fits(&mut self, variable: &'static str, elements: usize, limit: u64) {
        if elements as u64 * 4 <= limit {
            self.uniforms.push((variable, (elements / 4) as u32));
        }
    }

    /// The same for `nets` nets, whose copies lie `strides` apart. A uniform array is widened to hold all of them where
    /// `uniform_bytes` allow, and read as a storage buffer beyond: the same numbers, at another price.
    #[must_use]
    pub fn over_nets(mut self, kernel: &Kernel, nets: usize, strides: Vec<Option<u64>>, uniform_bytes: u64) -> Self {
        self.uniforms.retain_mut(|(variable, length)| match strides.get(nets::binding_of(kernel, variable)) {
            Some(Some(stride)) => {
                *length = (nets as u64 * stride / 16) as u32;
                nets as u64 * stride <= uniform_bytes
            }
            _ => true,
        });
        self.net_strides = strides;
        self
    }

    /// Images that arrays may be read as by `entry` of `kernel`, one of this crate's, where they are no uniform buffers.
    pub(crate) fn readable_as_texels(&self, kernel: &Kernel, entry: &str) -> Vec<texels::Image> {
        let stored = |name: &str| self.uniforms.iter().all(|(uniform, _)| *uniform != name);
        let readable = texels::readable(kernel, entry).filter(|(binding, _)| kernel.own && stored(binding.name));
        readable.map(|(_, image)| image).collect()
    }
}

impl Kernel {
    /// The text to compile.
    ///
    /// # Panics
    /// When a constant, variable or loop bound is not in the file, or a binding is used in a way that a net index cannot
    /// follow: a mistake in the op, which every test of it shows.
    pub fn specialize(&self, specialization: &Specialization) -> String {
        let mut lines = Vec::new();
        let mut constants = std::collections::HashMap::new();
        let mut pending: Vec<_> = specialization.constants.iter().map(|(name, _)| *name).collect();
        let mut uniforms: Vec<_> = specialization.uniforms.iter().map(|(name, _)| *name).collect();
        for line in self.shared.iter().chain([&self.source]).flat_map(|text| text.lines()) {
            let mut written = line.to_string();
            if let Some((name, default)) = parse_constant(line) {
                let chosen = specialization.constants.iter().find(|(wanted, _)| *wanted == name);
                let value = chosen.map_or(default, |(_, value)| *value);
                written = format!("const {name}: u32 = {value}u;");
                constants.insert(name.to_string(), value);
                pending.retain(|wanted| *wanted != name);
            }
            for (variable, length) in &specialization.uniforms {
                let storage = format!("var<storage, read> {variable}: array<vec4f>;");
                if line.contains(&storage) {
                    written = line.replace(&storage, &format!("var<uniform> {variable}: array<vec4f, {length}>;"));
                    uniforms.retain(|wanted| wanted != variable);
                }
            }
            lines.push(written);
        }
        assert!(pending.is_empty(), "{}: no `const {pending:?}: u32 = …;`", self.file);
        assert!(uniforms.is_empty(), "{}: no `var<storage, read> {uniforms:?}: array<vec4f>;`", self.file);
        let mut text = String::new();
        loops::unroll(&lines, &constants, self.file, &mut text);
        if constants.get("SUBGROUP") == Some(&1) {
            text = text.replace("subgroupBroadcast(", "own_value(");
            text.push_str("fn own_value(value: f32, lane: u32) -> f32 { return value; }\n");
        }
        if self.own && specialization.loops_tested_last {
            text = loops::tested_last(self.file, &text);
        }
        if specialization.halves {
            text = halves::with_halves(self.file, &text);
        }
        if !specialization.net_strides.is_empty() {
            text = nets::with_net_index(self.file, &text, &specialization.net_strides);
        }
        if !specialization.texels.is_empty() {
            text = texels::with_texels(self.file, &text, &specialization.texels);
        }
        text
    }
}

/// `const NAME: u32 = 12u; …` → `(NAME, 12)`.
fn parse_constant(line: &str) -> Option<(&str, u32)> {
    let (name, rest) = line.strip_prefix("const ")?.split_once(": u32 = ")?;
    let (value, _) = rest.split_once("u;")?;
    Some((name, value.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Kernel = Kernel::new(
        "sample.wgsl",
        "const TILE: u32 = 1u; // rows\n@group(0) @binding(0) var<storage, read> weights: array<vec4f>;\n\
                 fn f() -> f32 {\n    var sum = 0.0;\n    for (var i = 0u; i < TILE; i++) { // unroll\n        \
                 for (var j = 0u; j < 2u; j++) { // unroll\n            sum += weights[i][j];\n        }\n    }\n    return sum;\n}\n",
        &[],
    );

    #[test]
    fn constants_loops_and_uniforms_are_written_out() {
        let text = SAMPLE.specialize(&Specialization {
            uniforms: vec![("weights", 7)],
            ..Specialization::constants(&[("TILE", 3)])
        });
        assert!(text.contains("const TILE: u32 = 3u;"));
        assert!(text.contains("var<uniform> weights: array<vec4f, 7>;"));
        assert_eq!(text.matches("sum += weights[i][j];").count(), 6);
        assert_eq!(text.matches("const i = 2u;").count(), 1);
        assert!(!text.contains("for ("));
    }

    #[test]
    fn lanes_share_values_only_in_subgroups_of_known_size() {
        let kernel = Kernel::new(
            "sample.wgsl",
            "const SUBGROUP: u32 = 1u;\nfn f(x: f32) -> f32 { return subgroupBroadcast(x, 0u); }\n",
            &[],
        );
        assert!(!kernel.specialize(&Specialization::default()).contains("subgroupBroadcast"));
        let text = kernel.specialize(&Specialization::constants(&[("SUBGROUP", 8)]));
        assert!(text.contains("subgroupBroadcast(x, 0u)") && !text.contains("own_value"));
    }

    #[test]
    #[should_panic(expected = "sample.wgsl")]
    fn an_unknown_constant_is_a_mistake_in_the_op() {
        SAMPLE.specialize(&Specialization::constants(&[("TYPO", 3)]));
    }
}
