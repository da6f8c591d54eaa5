//! Pictures inside of the page: `data:` addresses instead of files beside it.

use super::super::Error;
use crate::data::decode::decode_upright;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, ImageFormat};
use std::io::Cursor;
use std::path::Path;

/// Of JPEGs made for the page, 1 to 100.
const QUALITY: u8 = 85;

/// A picture with a caption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The content of a JPEG or PNG file.
    bytes: Vec<u8>,
    media_type: &'static str,
    /// Width and height in pixels.
    size: [u32; 2],
    caption: String,
}

impl Picture {
    /// A picture without loss, such as a patch of a few pixels.
    ///
    /// # Errors
    /// A picture without pixels.
    pub fn png(picture: &DynamicImage, caption: &str) -> Result<Self, Error> {
        let mut bytes = Cursor::new(Vec::new());
        picture
            .write_to(&mut bytes, ImageFormat::Png)
            .map_err(|source| Error::Encode { path: caption.into(), source })?;
        Ok(Self {
            bytes: bytes.into_inner(),
            media_type: "image/png",
            size: [picture.width(), picture.height()],
            caption: caption.into(),
        })
    }

    /// The content of a PNG file as it is.
    ///
    /// # Errors
    /// Bytes that are no PNG file.
    pub fn of_png_bytes(bytes: Vec<u8>, caption: &str) -> Result<Self, Error> {
        let decoded = image::load_from_memory_with_format(&bytes, ImageFormat::Png)
            .map_err(|source| Error::Encode { path: caption.into(), source })?;
        let size = [decoded.width(), decoded.height()];
        Ok(Self { bytes, media_type: "image/png", size, caption: caption.into() })
    }

    /// A JPEG of the picture file `path`, turned upright and no higher than `height` pixels.
    ///
    /// # Errors
    /// A file that is no picture.
    pub fn thumbnail(path: &Path, height: u32, caption: &str) -> Result<Self, Error> {
        let picture = decode_upright(path).map_err(|source| Error::Picture { path: path.into(), source })?;
        let small = if picture.height() > height {
            picture.resize(u32::MAX, height.max(1), FilterType::Triangle)
        } else {
            picture
        };
        // JPEG knows neither transparency nor 16 bits.
        let small = small.to_rgb8();
        let mut bytes = Vec::new();
        small
            .write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY))
            .map_err(|source| Error::Encode { path: path.into(), source })?;
        Ok(Self { bytes, media_type: "image/jpeg", size: small.dimensions().into(), caption: caption.into() })
    }

    /// The whole picture as an address.
    pub(super) fn address(&self) -> String {
        format!("data:{};base64,{}", self.media_type, STANDARD.encode(&self.bytes))
    }

    pub(super) fn size(&self) -> [u32; 2] {
        self.size
    }

    /// What it shows.
    pub fn caption(&self) -> &str {
        &self.caption
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbnails_are_small_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("face.png");
        image::RgbaImage::from_fn(90, 60, |x, y| image::Rgba([x as u8 * 2, y as u8 * 4, 99, 128])).save(&path).unwrap();
        for (height, size) in [(30, [45, 30]), (600, [90, 60])] {
            let found = Picture::thumbnail(&path, height, "face").unwrap();
            assert_eq!((found.size(), found.caption()), (size, "face"));
            let bytes = STANDARD.decode(found.address().strip_prefix("data:image/jpeg;base64,").unwrap()).unwrap();
            let read = image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg).unwrap();
            assert_eq!([read.width(), read.height()], size);
        }
        std::fs::write(&path, b"no picture").unwrap();
        let message = Picture::thumbnail(&path, 9, "").unwrap_err().to_string();
        assert!(message.contains("face.png"), "{message}");
    }

    #[test]
    fn png_pictures_keep_their_pixels() {
        let pixels = image::RgbImage::from_fn(7, 5, |x, y| image::Rgb([x as u8, y as u8, 200]));
        let made = Picture::png(&pixels.clone().into(), "patch").unwrap();
        let bytes = STANDARD.decode(made.address().strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        assert_eq!(image::load_from_memory(&bytes).unwrap().to_rgb8(), pixels);
        assert_eq!(Picture::of_png_bytes(bytes, "patch").unwrap(), made);
        assert!(matches!(Picture::of_png_bytes(b"no".to_vec(), "patch"), Err(Error::Encode { .. })));
    }
}
