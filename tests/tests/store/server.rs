//! A small HTTP server of files that misbehaves as told. It lists folders as S3 and
//! WebDAV do.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Nothing comes.
    Stall,
    /// Half of the body comes, then nothing.
    StallHalfway,
    /// An error of the server.
    Status(u16),
    /// Half of the body comes, then the connection ends.
    Drop,
    /// Other bytes than those asked for, and the header says so.
    WrongRange,
    /// A body one byte short, and the header says so.
    Short,
    /// The whole file instead of the range.
    Whole,
    /// A byte in the middle of the body is another.
    Flip,
}

struct Shared {
    root: PathBuf,
    /// Faults of the next requests for names that contain the text.
    faults: Mutex<(String, VecDeque<Fault>)>,
    requests: AtomicUsize,
    bytes: AtomicUsize,
    stop: AtomicBool,
}

pub(crate) struct Server {
    shared: Arc<Shared>,
    port: u16,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn new(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let shared = Arc::new(Shared {
            root: root.into(),
            faults: Mutex::default(),
            requests: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let served = shared.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if served.stop.load(Ordering::SeqCst) {
                    break;
                }
                let shared = served.clone();
                std::thread::spawn(move || {
                    let _ = converse(stream, &shared);
                });
            }
        });
        Self {
            shared,
            port,
            thread: Some(thread),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The next requests for names that contain `text` fail so.
    pub(crate) fn fail(&self, text: &str, faults: &[Fault]) {
        let faults = faults.iter().copied().collect();
        *self.shared.faults.lock().expect("no panic") = (text.into(), faults);
    }

    /// Requests so far.
    pub(crate) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Bytes of bodies so far.
    pub(crate) fn bytes(&self) -> usize {
        self.shared.bytes.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn converse(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let (mut line, mut path, mut range) = (String::new(), String::new(), None);
        let (mut head, mut propfind) = (false, false);
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let text = line.trim_end();
            let words: Vec<&str> = text.split(' ').collect();
            if let ["GET" | "HEAD" | "PROPFIND", place, _] = words[..] {
                head = words[0] == "HEAD";
                propfind = words[0] == "PROPFIND";
                path = place.to_owned();
            } else if text.to_ascii_lowercase().starts_with("range: bytes=") {
                let (start, end) = text[13..].split_once('-').expect("a range");
                range = Some((
                    start.parse::<usize>().expect("a number"),
                    end.parse::<usize>().expect("a number") + 1,
                ));
            } else if text.is_empty() {
                break;
            }
        }
        shared.requests.fetch_add(1, Ordering::SeqCst);
        let fault = {
            let mut faults = shared.faults.lock().expect("no panic");
            if path.contains(&faults.0) {
                faults.1.pop_front().unwrap_or(Fault::None)
            } else {
                Fault::None
            }
        };
        let fault = match fault {
            // What has no body has no other trouble.
            Fault::None | Fault::Stall | Fault::Status(_) => fault,
            _ if head => Fault::None,
            _ => fault,
        };
        let mut file = Vec::new();
        let listed = path
            .split_once('?')
            .filter(|(_, q)| q.contains("list-type=2"));
        let found = match listed {
            Some((bucket, query)) => {
                file = list(&shared.root.join(bucket.trim_start_matches('/')), query);
                true
            }
            None if propfind => {
                file = properties(&shared.root, &path);
                !file.is_empty()
            }
            None => {
                let opened = std::fs::File::open(shared.root.join(path.trim_start_matches('/')));
                opened.and_then(|mut f| f.read_to_end(&mut file)).is_ok()
            }
        };
        let status = match fault {
            Fault::Status(code) => Some(code),
            _ if !found => Some(404),
            _ => None,
        };
        if let Some(code) = status {
            write!(stream, "HTTP/1.1 {code} Oh\r\nContent-Length: 0\r\n\r\n")?;
            continue;
        }
        if fault == Fault::Stall {
            std::thread::sleep(Duration::from_secs(20));
            return Ok(());
        }
        let (mut start, mut end) = range.unwrap_or((0, file.len()));
        if fault == Fault::WrongRange {
            (start, end) = (start.saturating_sub(1), end.saturating_sub(1));
        }
        if fault == Fault::Short {
            end -= 1;
        }
        if fault == Fault::Whole {
            (start, end, range) = (0, file.len(), None);
        }
        let mut body = file[start..end].to_vec();
        if fault == Fault::Flip {
            let middle = body.len() / 2;
            body[middle] ^= 0x10;
        }
        let status = if range.is_some() {
            let last = end - 1;
            format!(
                "206 Partial Content\r\nContent-Range: bytes {start}-{last}/{}",
                file.len()
            )
        } else if propfind {
            "207 Multi-Status".into()
        } else {
            "200 OK".into()
        };
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"1\"\r\n\
             Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n\r\n",
            body.len()
        )?;
        if matches!(fault, Fault::Drop | Fault::StallHalfway) {
            stream.write_all(&body[..body.len() / 2])?;
            stream.flush()?;
            if fault == Fault::StallHalfway {
                std::thread::sleep(Duration::from_secs(20));
            }
            return Ok(());
        }
        if head {
            continue;
        }
        // Before the client can know.
        shared.bytes.fetch_add(body.len(), Ordering::SeqCst);
        stream.write_all(&body)?;
    }
}

/// What is in a folder of a bucket, as S3's ListObjectsV2 answers.
fn list(bucket: &Path, query: &str) -> Vec<u8> {
    let prefix = query.split('&').find_map(|q| q.strip_prefix("prefix="));
    let prefix = prefix.unwrap_or_default().replace("%2F", "/");
    let mut xml = String::from("<ListBucketResult>");
    let items = std::fs::read_dir(bucket.join(&prefix))
        .into_iter()
        .flatten();
    for item in items.flatten() {
        let key = format!("{prefix}{}", item.file_name().to_string_lossy());
        let metadata = item.metadata().expect("an item");
        xml += &match metadata.is_dir() {
            true => format!("<CommonPrefixes><Prefix>{key}/</Prefix></CommonPrefixes>"),
            false => format!(
                "<Contents><Key>{key}</Key><Size>{}</Size><ETag>1</ETag>\
                 <LastModified>2024-01-01T00:00:00.000Z</LastModified></Contents>",
                metadata.len()
            ),
        };
    }
    (xml + "</ListBucketResult>").into_bytes()
}

/// A folder and what is in it, as WebDAV answers a PROPFIND of depth 1 (RFC 4918, section 9.1); nothing
/// where there is none.
fn properties(root: &Path, path: &str) -> Vec<u8> {
    let path = path.trim_matches('/');
    let Ok(items) = std::fs::read_dir(root.join(path)) else {
        return Vec::new();
    };
    let mut xml = r#"<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">"#.to_owned();
    let mut entry = |href: &str, bytes: Option<u64>| {
        let (kind, end) = match bytes {
            Some(n) => (
                format!("<D:resourcetype/><D:getcontentlength>{n}</D:getcontentlength>"),
                "",
            ),
            None => (
                "<D:resourcetype><D:collection/></D:resourcetype>".into(),
                "/",
            ),
        };
        xml += &format!(
            "<D:response><D:href>/{href}{end}</D:href><D:propstat><D:prop>{kind}\
             <D:getlastmodified>Mon, 01 Jan 2024 00:00:00 GMT</D:getlastmodified></D:prop>\
             <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
        );
    };
    entry(path, None);
    for item in items.flatten() {
        let metadata = item.metadata().expect("an item");
        let href = format!("{path}/{}", item.file_name().to_string_lossy());
        entry(&href, metadata.is_file().then_some(metadata.len()));
    }
    (xml + "</D:multistatus>").into_bytes()
}
