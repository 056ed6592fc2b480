//! What a request is answered with.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Forbids every connection but to the page's own origin.
const POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; \
    style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; connect-src 'self' blob: data:; \
    worker-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

pub(crate) struct Answer {
    status: u16,
    kind: &'static str,
    body: Body,
}

enum Body {
    Text(String),
    File(File, u64),
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            kind: "text/plain; charset=utf-8",
            body: Body::Text(reason(status).to_owned()),
        }
    }

    pub(crate) fn json(text: String) -> Self {
        Self::text("data.json", text)
    }

    /// A text with the media type of a file's name.
    pub(crate) fn text(name: &str, text: String) -> Self {
        Self {
            status: 200,
            kind: kind(Path::new(name)),
            body: Body::Text(text),
        }
    }

    /// A file below `folder`, links out of it excluded.
    pub(crate) fn file(folder: &Path, parts: &[&str]) -> Self {
        let path = parts.iter().fold(folder.to_owned(), |p, part| p.join(part));
        let inside = path.canonicalize().is_ok_and(|p| p.starts_with(folder));
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?, file)));
        match opened {
            Ok((metadata, file)) if inside && metadata.is_file() => Self {
                status: 200,
                kind: kind(&path),
                body: Body::File(file, metadata.len()),
            },
            _ => Self::status(404),
        }
    }

    pub(super) fn write(self, out: &mut impl Write, head_only: bool) -> io::Result<()> {
        let length = match &self.body {
            Body::Text(text) => text.len() as u64,
            Body::File(_, length) => *length,
        };
        write!(
            out,
            "HTTP/1.1 {} {}\r\n\
             Content-Type: {}\r\n\
             Content-Length: {length}\r\n\
             Content-Security-Policy: {POLICY}\r\n\
             Cross-Origin-Opener-Policy: same-origin\r\n\
             Cross-Origin-Embedder-Policy: require-corp\r\n\
             Cross-Origin-Resource-Policy: same-origin\r\n\
             X-Content-Type-Options: nosniff\r\n\
             Referrer-Policy: no-referrer\r\n\
             Cache-Control: no-cache\r\n\
             Connection: close\r\n\r\n",
            self.status,
            reason(self.status),
            self.kind,
        )?;
        if head_only {
            return Ok(());
        }
        match self.body {
            Body::Text(text) => out.write_all(text.as_bytes()),
            Body::File(mut file, _) => io::copy(&mut file, out).map(drop),
        }
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        405 => "Method Not Allowed",
        _ => "Not Found",
    }
}

/// The media type of a file, by its extension.
fn kind(path: &Path) -> &'static str {
    match path.extension().and_then(|e| e.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}
