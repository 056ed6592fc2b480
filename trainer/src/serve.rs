//! Pages, served to a browser on this machine: files and data, with the headers that WebAssembly
//! threads and a closed security policy need.

mod answer;
mod catalogue;

use std::fmt;
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

pub(crate) use self::answer::Answer;
pub use self::catalogue::{Catalogue, Listed};
use crate::error::{Error, Result, WithPath};

/// How long a browser may take to ask or to read.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a request's head.
const MAX_HEAD: u64 = 16 << 10;
/// Connections at once.
const MAX_CONNECTIONS: usize = 64;

/// Something that answers requests.
pub(crate) trait Respond: fmt::Debug + Send + Sync {
    /// The answer to a request for a path, in its parts.
    fn respond(&self, parts: &[&str]) -> Answer;
}

/// A site that listens and is ready to be served.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    site: Arc<dyn Respond>,
}

#[derive(Debug)]
struct Site {
    page: PathBuf,
    catalogue: Catalogue,
}

impl Server {
    /// Listens on `address` for a page built into the folder `page`.
    ///
    /// # Errors
    ///
    /// [`Error::Unsuitable`] when there is no page in the folder, [`Error::Io`] when the address
    /// cannot be used.
    pub fn bind(address: SocketAddr, page: &Path, catalogue: Catalogue) -> Result<Self> {
        if !page.join("index.html").is_file() {
            return Err(Error::unsuitable(
                page,
                "no page here; build it with `cargo xtask web`",
            ));
        }
        let page = page.canonicalize().with_path(page)?;
        Self::listen(address, Arc::new(Site { page, catalogue }))
    }

    /// Listens on `address` for any site.
    pub(crate) fn listen(address: SocketAddr, site: Arc<dyn Respond>) -> Result<Self> {
        let listener = TcpListener::bind(address).with_path(Path::new(&address.to_string()))?;
        Ok(Self { listener, site })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the system does not say.
    pub fn address(&self) -> Result<SocketAddr> {
        self.listener.local_addr().with_path(Path::new("address"))
    }

    /// Answers until the program ends.
    pub fn run(&self) {
        let open = Arc::new(AtomicUsize::new(0));
        for stream in self.listener.incoming().flatten() {
            if open.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
                open.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let (site, open) = (Arc::clone(&self.site), Arc::clone(&open));
            thread::spawn(move || {
                // A browser that goes away is no concern of ours.
                let _ = serve(&*site, &stream);
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }
}

impl Respond for Site {
    /// The file that a request's target names.
    fn respond(&self, parts: &[&str]) -> Answer {
        match parts {
            ["models", "index.json"] => Answer::json(self.catalogue.index()),
            [] => Answer::file(&self.page, &["index.html"]),
            ["models", model, rest @ ..]
                if let Some(folder) = self.catalogue.folder(model, rest) =>
            {
                Answer::file(folder, rest)
            }
            parts => Answer::file(&self.page, parts),
        }
    }
}

fn serve(site: &dyn Respond, stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (method, target) = request_line(stream)?;
    let answer = match (method.as_str(), parts(&target)) {
        ("GET" | "HEAD", Some(parts)) => {
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            site.respond(&parts)
        }
        ("GET" | "HEAD", None) => Answer::status(400),
        _ => Answer::status(405),
    };
    let mut out = stream;
    answer.write(&mut out, method == "HEAD")?;
    out.flush()
}

/// Reads the head of a request; gives its method and target.
fn request_line(stream: &TcpStream) -> io::Result<(String, String)> {
    let mut reader = BufReader::new(stream).take(MAX_HEAD);
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read(&mut byte)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    let mut words = head.split_whitespace();
    let mut word = || words.next().unwrap_or_default().to_owned();
    Ok((word(), word()))
}

/// The parts of a target's path, decoded; `None` for what leads out of a folder.
fn parts(target: &str) -> Option<Vec<String>> {
    let path = target.split(['?', '#']).next()?.strip_prefix('/')?;
    path.split('/')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let part = decoded(part)?;
            let strange = |c: char| c == '/' || c == '\\' || c == ':' || c.is_control();
            (part != "." && part != ".." && !part.contains(strange)).then_some(part)
        })
        .collect()
}

/// A part with its `%xx` replaced.
fn decoded(part: &str) -> Option<String> {
    let mut bytes = part.bytes();
    let mut out = Vec::with_capacity(part.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let hex = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_stay_inside() {
        let split = |t: &str| parts(t).map(|p| p.join("|"));
        assert_eq!(split("/").as_deref(), Some(""));
        assert_eq!(split("/a/b%20c.js?x=1#y").as_deref(), Some("a|b c.js"));
        for bad in [
            "a",
            "/..",
            "/a/../b",
            "/%2e%2e/x",
            "/a%2fb",
            "/a%5cb",
            "/%zz",
            "/%f",
            "/c:",
        ] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }

    /// Asks a server for `request` and gives all that it answers.
    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("answered");
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[test]
    fn files_are_served_with_their_headers() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("index.html"), "<p>page").expect("written");
        std::fs::write(folder.path().join("a.wasm"), [0, 97, 115, 109]).expect("written");
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind(local, folder.path(), Catalogue::default()).expect("a free port");
        let address = server.address().expect("an address");
        thread::spawn(move || server.run());

        let page = ask(address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
        assert!(page.ends_with("\r\n\r\n<p>page"), "{page}");
        for header in [
            "Content-Type: text/html; charset=utf-8",
            "Cross-Origin-Opener-Policy: same-origin",
            "Cross-Origin-Embedder-Policy: require-corp",
            "Content-Security-Policy: default-src 'self';",
            "Content-Length: 7",
        ] {
            assert!(page.contains(header), "{header}: {page}");
        }
        let head = ask(address, "HEAD /a.wasm HTTP/1.1\r\n\r\n");
        assert!(head.contains("Content-Type: application/wasm"), "{head}");
        assert!(head.ends_with("\r\n\r\n"), "{head}");
        for (request, status) in [
            ("GET /none HTTP/1.1\r\n\r\n", "404"),
            ("GET /../Cargo.toml HTTP/1.1\r\n\r\n", "400"),
            ("POST / HTTP/1.1\r\n\r\n", "405"),
            ("GET /models/none/model.json HTTP/1.1\r\n\r\n", "404"),
        ] {
            let answer = ask(address, request);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{answer}"
            );
        }
        let list = ask(address, "GET /models/index.json HTTP/1.1\r\n\r\n");
        assert!(list.ends_with("\r\n\r\n[]"), "{list}");
    }

    #[test]
    fn own_models_are_listed_before_added_ones_which_show_no_other_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let (page, added) = (folder.path().join("page"), folder.path().join("added"));
        for path in [&page.join("models/brain-tissue"), &added] {
            std::fs::create_dir_all(path).expect("made");
        }
        let bytes = crate::shipped::MODELS[0].bytes;
        std::fs::write(page.join("index.html"), "<p>page").expect("written");
        let list = include_bytes!("../../models/index.json");
        std::fs::write(page.join("models/index.json"), list).expect("written");
        std::fs::write(page.join("models/brain-tissue/brain-tissue.amaes"), bytes)
            .expect("written");
        std::fs::write(added.join("my own.amaes"), bytes).expect("written");
        std::fs::write(added.join("secret.txt"), "secret").expect("written");

        let mut catalogue = Catalogue::of_page(&page).expect("a list");
        let left_out = catalogue.add(&added.join("my own.amaes")).expect("a model");
        assert!(left_out.is_empty(), "{left_out:?}");
        let listed: Vec<Listed> = serde_json::from_str(&catalogue.index()).expect("a list");
        let urls: Vec<_> = listed.iter().map(|l| l.url.as_str()).collect();
        assert_eq!(
            urls,
            ["brain-tissue/brain-tissue.amaes", "0/my%20own.amaes"]
        );
        assert_eq!(listed[1].bytes, bytes.len() as u64);

        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind(local, &page, catalogue).expect("a free port");
        let address = server.address().expect("an address");
        thread::spawn(move || server.run());
        for (path, status) in [
            ("brain-tissue/brain-tissue.amaes", "200"),
            ("0/my%20own.amaes", "200"),
            ("0/secret.txt", "404"),
            ("1/my%20own.amaes", "404"),
        ] {
            let answer = ask(address, &format!("HEAD /models/{path} HTTP/1.1\r\n\r\n"));
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{path}: {answer}"
            );
        }
    }

    #[test]
    fn a_folder_without_a_page_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let error = Server::bind(local, folder.path(), Catalogue::default()).expect_err("no page");
        assert!(error.to_string().contains("cargo xtask web"), "{error}");
    }
}
