//! Any picture file becomes upright 8-bit pixels.
//!
//! What pictures from elsewhere need, and get here once for all commands: the format by content and
//! not by name, samples of any depth scaled to 8 bits, CMYK and YCCK turned into
//! RGB, transparency laid over white, EXIF's orientation undone, and a limit on memory. What cannot
//! be read is an [`Error`] that names the file and what to do.

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};
use std::fs::File;
use std::io::{Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// File name extensions, in lower case, that count as pictures in a folder. A single picture named
/// by the user may have any name.
pub const PICTURE_EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "png", "pgm", "ppm", "pnm", "bmp", "webp"];

/// The formats that can be read, for messages.
pub const FORMATS: &str = "jpg, png, pgm, ppm, bmp or webp";

/// Most bytes that the pixels of one picture may take when decoded, and a file may hold: 178
/// megapixels of 8-bit RGB, beyond any camera's photograph of a face. A header that claims more is
/// refused before any memory is taken.
pub const MAX_BYTES: u64 = 512 << 20;

/// Why a picture cannot be read. Every message names the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: cannot be read: {source}{}", advice(.source))]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: a folder, not a picture; name a picture file ({FORMATS})")]
    Folder { path: PathBuf },
    #[error("{path}: the file is empty; replace or remove it")]
    Empty { path: PathBuf },
    #[error("{path}: the file is larger than {} MiB, the most that a picture may be; save it smaller", MAX_BYTES >> 20)]
    LargeFile { path: PathBuf },
    #[error("{path}: {width}×{height} pixels take {mebibytes} MiB decoded, more than the limit of {} MiB; save it smaller", MAX_BYTES >> 20)]
    TooManyPixels { path: PathBuf, width: u32, height: u32, mebibytes: u64 },
    #[error("{path}: not a {FORMATS} picture; replace or remove it")]
    UnknownFormat { path: PathBuf },
    #[error("{path}: a picture of the format {format}, which cannot be read; save it as {FORMATS}")]
    OtherFormat { path: PathBuf, format: &'static str },
    #[error("{path}: corrupt or truncated picture ({source}); replace or remove it")]
    Decode { path: PathBuf, source: ImageError },
    #[error("{path}: a kind of {format} that cannot be read ({why}); save it as an ordinary 8-bit jpg or png")]
    Kind { path: PathBuf, format: &'static str, why: String },
    #[error("{path}: truncated JPEG (the data end before the end-of-image marker); replace or remove it")]
    TruncatedJpeg { path: PathBuf },
    #[error("{path}: the picture has no pixels; replace or remove it")]
    NoPixels { path: PathBuf },
}

impl Error {
    /// The kind of fault in a word or two, for counting.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Read { .. } | Self::Folder { .. } => "cannot be opened",
            Self::Empty { .. } | Self::NoPixels { .. } => "empty",
            Self::LargeFile { .. } | Self::TooManyPixels { .. } => "too large",
            Self::UnknownFormat { .. } => "not a picture",
            Self::OtherFormat { .. } | Self::Kind { .. } => "a format that is not read",
            Self::Decode { .. } | Self::TruncatedJpeg { .. } => "corrupt or truncated",
        }
    }
}

fn advice(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::PermissionDenied => "; make it readable for your user, or remove it",
        ErrorKind::NotFound => "; check the path",
        _ => "",
    }
}

/// A decoded picture, and what was found on the way.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// [`DynamicImage::ImageRgb8`], or [`DynamicImage::ImageLuma8`] where the file holds grey.
    pub image: DynamicImage,
    /// By content.
    pub format: ImageFormat,
    /// Whether EXIF's orientation turned or mirrored it.
    pub turned: bool,
}

/// Decodes the picture `path` and turns it upright: 8-bit RGB, or 8-bit grey where the file holds grey.
///
/// - The format is told by content: a PNG named `.jpg` is read. Of an animation, the first frame.
/// - 16-bit samples are rounded to 8; PGM and PPM samples are scaled from the file's own maximum.
/// - CMYK and YCCK JPEG become RGB without a colour profile, the four inks taken to be stored inverted, as Adobe and all
///   browsers have it.
/// - Transparency is laid over white, as viewers show it: the colours of transparent pixels are arbitrary.
/// - EXIF's orientation, all eight, is applied.
///
/// # Errors
/// A missing, unreadable, empty, corrupt or truncated file, one of another format, or pixels beyond [`MAX_BYTES`].
pub fn decode_upright(path: &Path) -> Result<DynamicImage, Error> {
    Ok(decode_bytes(path, &read(path)?)?.image)
}

/// Reads the bytes of the picture file `path`.
///
/// # Errors
/// A missing or unreadable file, a folder, or a file beyond [`MAX_BYTES`].
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let read_error = |source| Error::Read { path: path.into(), source };
    if path.is_dir() {
        return Err(Error::Folder { path: path.into() });
    }
    let file = File::open(path).map_err(read_error)?;
    let length = file.metadata().map_err(read_error)?.len();
    let mut bytes = Vec::with_capacity(length.min(MAX_BYTES) as usize);
    // What is not a file, such as a pipe, tells no length.
    if length <= MAX_BYTES {
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(read_error)?;
    }
    if length.max(bytes.len() as u64) > MAX_BYTES {
        return Err(Error::LargeFile { path: path.into() });
    }
    Ok(bytes)
}

/// As [`decode_upright`], of the `bytes` of the file `path`.
///
/// # Errors
/// As [`decode_upright`].
pub fn decode_bytes(path: &Path, bytes: &[u8]) -> Result<Decoded, Error> {
    if bytes.is_empty() {
        return Err(Error::Empty { path: path.into() });
    }
    let Some(format) = image::guess_format(bytes).ok().filter(ImageFormat::reading_enabled) else {
        return Err(match name_of_other_format(bytes) {
            Some(format) => Error::OtherFormat { path: path.into(), format },
            None => Error::UnknownFormat { path: path.into() },
        });
    };
    // The decoder fills what is missing of a JPEG with grey and reports nothing.
    if format == ImageFormat::Jpeg {
        let segments = JpegSegments::of(bytes);
        if let Some(why) = segments.unusual() {
            return Err(Error::Kind { path: path.into(), format: name_of(format), why: why.into() });
        }
        if !segments.end {
            return Err(Error::TruncatedJpeg { path: path.into() });
        }
    }
    let failed = |source| match source {
        ImageError::Unsupported(what) => {
            Error::Kind { path: path.into(), format: name_of(format), why: what.to_string() }
        }
        _ => Error::Decode { path: path.into(), source },
    };
    let mut decoder = ImageReader::with_format(Cursor::new(bytes), format).into_decoder().map_err(failed)?;
    check_size(path, &decoder)?;
    // A damaged tag says nothing of the pixels.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    if image.width() == 0 || image.height() == 0 {
        return Err(Error::NoPixels { path: path.into() });
    }
    let mut image = to_8_bits(over_white(image));
    image.apply_orientation(orientation);
    Ok(Decoded { image, format, turned: orientation != Orientation::NoTransforms })
}

/// Refuses a header that claims a giant picture, before any memory is taken.
fn check_size(path: &Path, decoder: &impl ImageDecoder) -> Result<(), Error> {
    let bytes = decoder.total_bytes();
    if bytes > MAX_BYTES {
        let (width, height) = decoder.dimensions();
        return Err(Error::TooManyPixels { path: path.into(), width, height, mebibytes: bytes >> 20 });
    }
    Ok(())
}

/// α·colour + (1 − α)·white, rounded; pictures without alpha stay as they are.
fn over_white(image: DynamicImage) -> DynamicImage {
    fn blend(colour: u8, alpha: u8) -> u8 {
        let (colour, alpha) = (u32::from(colour), u32::from(alpha));
        ((colour * alpha + 255 * (255 - alpha) + 127) / 255) as u8
    }
    if !image.color().has_alpha() {
        image
    } else if image.color().has_color() {
        let rgba = image.to_rgba8();
        let rgb = rgba.as_raw().as_chunks::<4>().0.iter().flat_map(|&[r, g, b, a]| [r, g, b].map(|c| blend(c, a)));
        from_samples(rgba.dimensions(), rgb.collect(), DynamicImage::ImageRgb8)
    } else {
        let both = image.to_luma_alpha8();
        let grey = both.as_raw().as_chunks::<2>().0.iter().map(|&[grey, alpha]| blend(grey, alpha));
        from_samples(both.dimensions(), grey.collect(), DynamicImage::ImageLuma8)
    }
}

fn from_samples<P: image::Pixel<Subpixel = u8>>(
    (width, height): (u32, u32),
    samples: Vec<u8>,
    wrap: fn(image::ImageBuffer<P, Vec<u8>>) -> DynamicImage,
) -> DynamicImage {
    wrap(image::ImageBuffer::from_raw(width, height, samples).expect("as many samples as the source has pixels"))
}

fn to_8_bits(image: DynamicImage) -> DynamicImage {
    match image {
        DynamicImage::ImageLuma8(_) | DynamicImage::ImageRgb8(_) => image,
        other if other.color().has_color() => other.to_rgb8().into(),
        other => other.to_luma8().into(),
    }
}

/// The usual name of a format, by its first extension.
fn name_of(format: ImageFormat) -> &'static str {
    format.extensions_str().first().unwrap_or(&"picture")
}

/// The name of a picture format that is recognised but not read.
fn name_of_other_format(bytes: &[u8]) -> Option<&'static str> {
    // ISO base media: `ftyp` and a brand, at byte 4.
    match (bytes.get(4..8), bytes.get(8..12)) {
        (Some(b"ftyp"), Some(b"heic" | b"heix" | b"hevc" | b"heim" | b"heis" | b"mif1" | b"msf1")) => Some("heic"),
        _ => image::guess_format(bytes).ok().map(name_of),
    }
}

/// What the segments of a JPEG file say of it, before anything is decoded.
#[derive(Default)]
struct JpegSegments {
    /// The end-of-image marker is there.
    end: bool,
    /// Marker and bits a sample of the frame.
    frame: Option<(u8, u8)>,
}

impl JpegSegments {
    /// Walks the segments (ITU-T T.81, Annex B) up to the end-of-image marker.
    ///
    /// Searching for the marker's two bytes would not do: an EXIF thumbnail has one of its own.
    fn of(bytes: &[u8]) -> Self {
        const STUFFED: u8 = 0x00;
        const RESTART: std::ops::RangeInclusive<u8> = 0xD0..=0xD7;
        const TEM: u8 = 0x01;
        const SOI: u8 = 0xD8;
        const EOI: u8 = 0xD9;
        const FRAME: std::ops::RangeInclusive<u8> = 0xC0..=0xCF;
        // Huffman tables, an extension, and arithmetic conditioning lie among the frames.
        const NO_FRAME: [u8; 3] = [0xC4, 0xC8, 0xCC];
        let mut found = Self::default();
        let mut at = 0;
        // Between segments and inside entropy-coded data alike, the next marker is an FF followed by
        // something else than a stuffed zero, a fill FF or a restart.
        while let Some(gap) = bytes[at..].iter().position(|&byte| byte == 0xFF) {
            at += gap + 1;
            match bytes.get(at) {
                None => break,
                Some(0xFF) => {}
                Some(&EOI) => {
                    found.end = true;
                    break;
                }
                Some(marker) if RESTART.contains(marker) => at += 1,
                Some(&(STUFFED | TEM | SOI)) => at += 1,
                Some(&marker) => {
                    let Some(&[high, low]) = bytes.get(at + 1..at + 3) else { break };
                    if FRAME.contains(&marker) && !NO_FRAME.contains(&marker) {
                        found.frame = bytes.get(at + 3).map(|&bits| (marker, bits));
                    }
                    at += 1 + usize::from(u16::from_be_bytes([high, low]));
                    if at >= bytes.len() {
                        break;
                    }
                }
            }
        }
        found
    }

    /// Why the decoder, which would find such a file corrupt, cannot read it.
    fn unusual(&self) -> Option<&'static str> {
        match self.frame? {
            (0xC0..=0xC2, 8) => None,
            (0xC0..=0xC2, _) => Some("more than 8 bits a sample"),
            (0xC3, _) => Some("lossless coding"),
            (0xC9..=0xCB, _) => Some("arithmetic coding"),
            _ => Some("a hierarchy of pictures"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::write_grey;
    use image::{GrayImage, ImageBuffer, Luma, LumaA, Rgb, RgbImage, Rgba};
    use std::fs;

    /// Colours of the quarters of the pictures in `fixtures/pictures`.
    const QUARTERS: [[u8; 3]; 4] = [[200, 40, 40], [40, 160, 60], [30, 60, 190], [128; 3]];

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pictures").join(name)
    }

    fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn decoded(bytes: &[u8]) -> Decoded {
        decode_bytes(Path::new("a picture"), bytes).unwrap()
    }

    fn failure(bytes: &[u8]) -> String {
        let message = decode_bytes(Path::new("some/file.jpg"), bytes).unwrap_err().to_string();
        assert!(message.starts_with("some/file.jpg: "), "{message}");
        message
    }

    #[test]
    fn colours_survive_every_colour_model_and_codec() {
        for name in ["cmyk.jpg", "ycck.jpg", "progressive.jpg", "lossless.webp", "lossy.webp"] {
            let picture = decode_upright(&fixture(name)).unwrap();
            let rgb = picture.as_rgb8().unwrap_or_else(|| panic!("{name} is not RGB"));
            assert_eq!(rgb.dimensions(), (16, 16));
            for (quarter, expected) in QUARTERS.iter().enumerate() {
                let found = rgb.get_pixel(4 + 8 * (quarter as u32 % 2), 4 + 8 * (quarter as u32 / 2)).0;
                let close = found.iter().zip(expected).all(|(a, b)| a.abs_diff(*b) <= 6);
                assert!(close, "{name}, quarter {quarter}: {found:?} for {expected:?}");
            }
        }
    }

    #[test]
    fn every_depth_becomes_8_bits() {
        let grey16: DynamicImage = ImageBuffer::from_pixel(3, 2, Luma([257u16 * 90 + 100])).into();
        let rgb16: DynamicImage = ImageBuffer::from_pixel(3, 2, Rgb([257u16 * 9, 257 * 200, 65535])).into();
        for format in [ImageFormat::Png, ImageFormat::Pnm] {
            let grey = decoded(&encoded(&grey16, format));
            assert_eq!(grey.image, GrayImage::from_pixel(3, 2, Luma([90])).into(), "{format:?}");
            assert_eq!(grey.format, format);
            let rgb = decoded(&encoded(&rgb16, format));
            assert_eq!(rgb.image, RgbImage::from_pixel(3, 2, Rgb([9, 200, 255])).into(), "{format:?}");
        }
        // 12-bit samples of a PGM, 4-bit ones, and the single bits of a PBM (1 is black).
        for (bytes, expected) in [
            (b"P5 2 1 4095\n\x0F\xFF\x08\x00".as_slice(), [255, 128]),
            (b"P2 2 1 15\n15 8\n", [255, 136]),
            (b"P1 2 1\n0 1\n", [255, 0]),
        ] {
            assert_eq!(decoded(bytes).image.as_luma8().unwrap().as_raw(), &expected);
        }
    }

    #[test]
    fn transparency_lies_over_white() {
        let pixels = [[0u8, 0, 0, 0], [200, 100, 0, 255], [0, 100, 200, 51]];
        let rgba: DynamicImage = ImageBuffer::from_fn(3, 1, |x, _| Rgba(pixels[x as usize])).into();
        // 0.2 · 0 + 0.8 · 255 = 204; 0.2 · 100 + 204 = 224; 0.2 · 200 + 204 = 244.
        let expected = [255, 255, 255, 200, 100, 0, 204, 224, 244];
        for format in [ImageFormat::Png, ImageFormat::WebP] {
            assert_eq!(decoded(&encoded(&rgba, format)).image.as_rgb8().unwrap().as_raw(), &expected);
        }
        let grey: DynamicImage = ImageBuffer::from_fn(2, 1, |x, _| LumaA([100u8, [255, 0][x as usize]])).into();
        assert_eq!(decoded(&encoded(&grey, ImageFormat::Png)).image.as_luma8().unwrap().as_raw(), &[100, 255]);
    }

    #[test]
    fn all_eight_orientations_of_exif_are_undone() {
        // The upright picture: white but for a black top left and a grey top right.
        let upright = GrayImage::from_fn(48, 32, |x, y| {
            Luma([match (x / 16, y / 16) {
                (0, 0) => 0,
                (2, 0) => 100,
                _ => 255,
            }])
        });
        for (value, orientation) in (1..=8u8).map(|value| (value, Orientation::from_exif(value).unwrap())) {
            // EXIF says how to turn what is stored; what is stored is the upright picture turned back.
            let back = match orientation {
                Orientation::Rotate90 => Orientation::Rotate270,
                Orientation::Rotate270 => Orientation::Rotate90,
                own_inverse => own_inverse,
            };
            let mut stored = DynamicImage::from(upright.clone());
            stored.apply_orientation(back);
            // Little-endian TIFF header, one entry: tag 0x0112 (orientation), SHORT, count 1.
            let exif = [b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".as_slice(), &[value, 0, 0, 0, 0, 0, 0, 0]];
            let exif = exif.concat();
            let jpeg = encoded(&stored, ImageFormat::Jpeg);
            let length = (exif.len() as u16 + 8).to_be_bytes();
            let tagged_jpeg = [&jpeg[..2], b"\xFF\xE1", &length, b"Exif\0\0", &exif, &jpeg[2..]].concat();
            let mut tagged_png = Vec::new();
            let mut encoder = image::codecs::png::PngEncoder::new(&mut tagged_png);
            image::ImageEncoder::set_exif_metadata(&mut encoder, exif).unwrap();
            stored.write_with_encoder(encoder).unwrap();
            for bytes in [tagged_jpeg, tagged_png] {
                let found = decoded(&bytes);
                assert_eq!(found.turned, value != 1);
                let grey = found.image.as_luma8().unwrap();
                assert_eq!(grey.dimensions(), (48, 32), "orientation {value}");
                let far = grey.pixels().zip(upright.pixels()).filter(|(a, b)| a.0[0].abs_diff(b.0[0]) > 12).count();
                assert_eq!(far, 0, "orientation {value}, {:?}", found.format);
            }
        }
    }

    #[test]
    fn the_name_does_not_decide_the_format() {
        let folder = tempfile::tempdir().unwrap();
        let png = folder.path().join("a.png");
        write_grey(&png, 5, 4, |x, y| (40 * x + y) as u8);
        let misnamed = folder.path().join("a.jpg");
        fs::copy(&png, &misnamed).unwrap();
        assert_eq!(decode_upright(&misnamed).unwrap(), decode_upright(&png).unwrap());
    }

    #[test]
    fn cut_files_are_errors_wherever_they_are_cut() {
        let noise = |x: u32, y: u32| (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)) as u8;
        let picture = DynamicImage::from(RgbImage::from_fn(64, 48, |x, y| Rgb([noise(x, y), noise(y, x), 7])));
        let formats = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Pnm, ImageFormat::Bmp, ImageFormat::WebP];
        for format in formats {
            let whole = encoded(&picture, format);
            assert_eq!(decoded(&whole).format, format);
            for share in 1..20 {
                let message = failure(&whole[..whole.len() * share / 20]);
                assert!(message.contains("truncated"), "{format:?} {share}/20: {message}");
            }
        }
        let jpeg = encoded(&picture, ImageFormat::Jpeg);
        assert!(failure(&jpeg[..jpeg.len() - 1]).contains("truncated JPEG"));
    }

    #[test]
    fn what_cannot_be_read_is_told_apart() {
        let jpeg = encoded(&RgbImage::new(8, 8).into(), ImageFormat::Jpeg);
        let frame = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
        let with = |offset: usize, byte: u8| {
            let mut changed = jpeg.clone();
            changed[frame + offset] = byte;
            changed
        };
        let (lossless, arithmetic, twelve_bits) = (with(1, 0xC3), with(1, 0xC9), with(4, 12));
        let cases: [(&[u8], &str); 12] = [
            (b"", "the file is empty; replace or remove it"),
            (b"this is no picture", "not a jpg, png, pgm, ppm, bmp or webp picture"),
            (b"GIF89a\x10\0\x10\0", "a picture of the format gif, which cannot be read; save it as jpg, png"),
            (b"II*\0\x08\0\0\0", "the format tiff"),
            (b"\0\0\0\x18ftypheic\0\0\0\0", "the format heic"),
            (b"\0\0\0\x1Cftypavif\0\0\0\0", "the format avif"),
            (&lossless, "a kind of jpg that cannot be read (lossless coding); save it as an ordinary"),
            (&arithmetic, "arithmetic coding"),
            (&twelve_bits, "more than 8 bits a sample"),
            (b"P6 100000 100000 255\n", "100000×100000 pixels take 28610 MiB decoded, more than the limit of 512 MiB"),
            (b"P5 0 4 255\n", "no pixels"),
            (b"P5 64 64 255\n0123456789", "corrupt or truncated"),
        ];
        for (bytes, expected) in cases {
            let message = failure(bytes);
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn files_that_cannot_be_opened_say_why() {
        let folder = tempfile::tempdir().unwrap();
        let named_like_a_picture = folder.path().join("x.jpg");
        fs::create_dir(&named_like_a_picture).unwrap();
        let message = decode_upright(&named_like_a_picture).unwrap_err().to_string();
        assert!(message.contains("x.jpg: a folder, not a picture"), "{message}");
        let message = decode_upright(&folder.path().join("gone.jpg")).unwrap_err().to_string();
        assert!(message.contains("gone.jpg: cannot be read") && message.ends_with("check the path"), "{message}");
        // Made by hand: the administrator, who may run the tests, can read everything.
        let denied = Error::Read { path: "a.jpg".into(), source: ErrorKind::PermissionDenied.into() };
        assert!(denied.to_string().contains("a.jpg: cannot be read: permission denied; make it readable"), "{denied}");
    }

    #[test]
    fn files_too_large_for_a_picture_are_not_taken_into_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("huge.jpg");
        // A hole: it takes no space on the disk.
        fs::File::create(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
        let message = decode_upright(&path).unwrap_err().to_string();
        assert!(message.contains("huge.jpg: the file is larger than 512 MiB"), "{message}");
    }
}
