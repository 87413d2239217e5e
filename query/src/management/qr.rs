//! `GET /v1/links/{id}/qr?format=svg|png`: the short URL as a QR code for print and screens.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use http::StatusCode;
use qrcode::{Color, EcLevel, QrCode};
use weir_edge::problem;
use weir_edge::request::Context;
use weir_edge::response::{Response, typed};
use weir_schemas::ids::LinkId;
use weir_schemas::problem::Problem;

use super::links::reader;
use super::{Management, found, value};

/// Light modules around the code, as ISO/IEC 18004 asks for.
const QUIET: usize = 4;
/// Pixels of a module: an everyday URL gives an image of some 300 pixels.
const PIXELS: usize = 8;

pub(super) async fn code(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let (principal, own) = reader(&context)?;
    let id: LinkId = context.id("id", "link")?;
    let format = value(&context, "format");
    let png = match format.as_deref() {
        None | Some("svg") => false,
        Some("png") => true,
        Some(other) => return Err(Problem::field("format", format!("`{other}` is not one of svg, png"))),
    };
    let link = management.read(move |books| books.link(principal.workspace, id)).await?;
    let link = found(link.filter(|link| own.is_none() || link.spec.partner_id == own), "link")?;
    let url = management.short_url(link.spec.domain.as_deref(), link.spec.slug.as_deref());
    let modules = Modules::of(&url).ok_or_else(problem::internal)?;
    Ok(if png {
        typed(StatusCode::OK, "image/png", modules.png())
    } else {
        typed(StatusCode::OK, "image/svg+xml", modules.svg())
    })
}

/// The squares of a code, row by row, the quiet zone included.
struct Modules {
    width: usize,
    dark: Vec<bool>,
}

impl Modules {
    /// `None` where the text is longer than a code can hold, which no short URL is.
    fn of(text: &str) -> Option<Self> {
        let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
        let inner = code.width();
        let width = inner + 2 * QUIET;
        let mut dark = vec![false; width * width];
        for (at, color) in code.to_colors().into_iter().enumerate() {
            let (x, y) = (at % inner + QUIET, at / inner + QUIET);
            dark[y * width + x] = color == Color::Dark;
        }
        Some(Self { width, dark })
    }

    fn svg(&self) -> String {
        let width = self.width;
        let mut path = String::new();
        for (at, _) in self.dark.iter().enumerate().filter(|(_, dark)| **dark) {
            let _ = write!(path, "M{} {}h1v1h-1z", at % width, at / width);
        }
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {width}\" width=\"{size}\" height=\"{size}\" \
             shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{width}v{width}H0z\"/>\
             <path d=\"{path}\"/></svg>",
            size = width * PIXELS,
        )
    }

    /// A PNG (RFC 2083) of one bit per pixel: signature, header, one compressed block of rows, end.
    fn png(&self) -> Vec<u8> {
        let side = self.width * PIXELS;
        let mut rows = Vec::with_capacity(side * (side / 8 + 1));
        for y in 0..side {
            // Each row begins with its filter, none; a bit is light.
            rows.push(0);
            let row = &self.dark[y / PIXELS * self.width..][..self.width];
            rows.extend(row.iter().map(|dark| if *dark { 0 } else { 0xff_u8 }));
        }
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(&rows).expect("memory takes every byte");
        let rows = zlib.finish().expect("memory takes every byte");
        let side = (side as u32).to_be_bytes();
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        // One bit of grey, deflate, no filter method beside the only one, not interlaced.
        chunk(&mut png, b"IHDR", &[&side[..], &side, &[1, 0, 0, 0, 0]].concat());
        chunk(&mut png, b"IDAT", &rows);
        chunk(&mut png, b"IEND", &[]);
        png
    }
}

// A module is a byte of eight one-bit pixels.
const _: () = assert!(PIXELS == 8);

fn chunk(png: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    png.extend_from_slice(&(data.len() as u32).to_be_bytes());
    png.extend_from_slice(kind);
    png.extend_from_slice(data);
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    png.extend_from_slice(&crc.sum().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_code_has_finders_in_three_corners_and_quiet_around() {
        let modules = Modules::of("https://go.example/spring").unwrap();
        let width = modules.width;
        let dark = |x: usize, y: usize| modules.dark[y * width + x];
        assert!((0..width).all(|at| !dark(at, QUIET - 1) && !dark(QUIET - 1, at)));
        let far = width - QUIET - 7;
        for (left, top) in [(QUIET, QUIET), (far, QUIET), (QUIET, far)] {
            assert!((0..7).all(|at| dark(left + at, top) && dark(left, top + at)));
        }
        let svg = modules.svg();
        assert_eq!(svg.matches("h1v1h-1z").count(), modules.dark.iter().filter(|dark| **dark).count());
    }

    #[test]
    fn the_png_holds_the_same_squares() {
        let modules = Modules::of("https://go.example/spring").unwrap();
        let png = modules.png();
        let length = u32::from_be_bytes(png[33..37].try_into().unwrap()) as usize;
        assert_eq!(&png[37..41], b"IDAT");
        let mut rows = Vec::new();
        flate2::read::ZlibDecoder::new(&png[41..41 + length]).read_to_end(&mut rows).unwrap();
        for (y, row) in rows.chunks(modules.width + 1).enumerate() {
            let expected = &modules.dark[y / PIXELS * modules.width..][..modules.width];
            let read: Vec<bool> = row[1..].iter().map(|byte| *byte == 0).collect();
            assert_eq!(read, expected, "row {y}");
        }
    }
}
