//! A store behind HTTP or S3: ranges, patience and clear errors.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::ClientConfigKey;
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt,
    RetryConfig,
};
use tokio::runtime::{Builder, Runtime};

use super::super::error::{Result, StoreError};
use super::{Listing, OpenOptions, Source, join};

/// Ranges closer than this are fetched by one request, in bytes.
const GAP: u64 = 256 << 10;
/// Longest pause between two requests.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A request may take this many times the time that it may be silent.
const SLOW: u32 = 20;

/// Objects under an address.
#[derive(Debug)]
pub(crate) struct Remote {
    /// Address without a slash at its end, for messages.
    address: String,
    prefix: Path,
    objects: Arc<dyn ObjectStore>,
    runtime: Runtime,
    timeout: Duration,
    attempts: u32,
    pause: Duration,
}

/// Why a request failed, and whether another may do better.
struct Failure {
    message: String,
    missing: bool,
    hopeless: bool,
}

impl Remote {
    /// A client for `http://`, `https://` or `s3://` addresses.
    pub(crate) fn new(address: &str, options: &OpenOptions) -> Result<Self> {
        let address = address.trim_end_matches('/');
        let refuse = |problem: String| StoreError::Option {
            field: "location",
            problem: format!("{address}: {problem}"),
        };
        let seconds = |field, s: f64| {
            Duration::try_from_secs_f64(s).map_err(|e| StoreError::Option {
                field,
                problem: format!("{s} s: {e}"),
            })
        };
        let timeout = seconds("timeout", options.timeout)?;
        let client = ClientOptions::new()
            .with_connect_timeout(timeout)
            .with_read_timeout(timeout)
            .with_timeout_disabled();
        // Attempts are counted here, over everything that can fail.
        let retry = RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: 0,
            retry_timeout: timeout,
        };
        let (objects, prefix): (Arc<dyn ObjectStore>, _) = if let Some(rest) =
            address.strip_prefix("s3://")
        {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let mut builder = AmazonS3Builder::from_env()
                .with_bucket_name(bucket)
                .with_client_options(client)
                // The client's options put those of the environment aside.
                .with_allow_http(std::env::var("AWS_ALLOW_HTTP").is_ok_and(|v| v == "true"))
                .with_retry(retry);
            for (key, value) in &options.s3 {
                let key: AmazonS3ConfigKey = key.parse().map_err(|e| refuse(format!("s3: {e}")))?;
                builder = builder.with_config(key, value);
            }
            let s3 = builder.build().map_err(|e| refuse(e.to_string()))?;
            (Arc::new(s3), prefix)
        } else {
            let http = HttpBuilder::new()
                .with_url(address)
                .with_client_options(client)
                .with_config(ClientConfigKey::AllowHttp, "true")
                .with_retry(retry)
                .build()
                .map_err(|e| refuse(e.to_string()))?;
            (Arc::new(http), "")
        };
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("amaes-fetch")
            .enable_all()
            .build()
            .map_err(|e| refuse(e.to_string()))?;
        Ok(Self {
            address: address.into(),
            prefix: Path::parse(prefix).map_err(|e| refuse(e.to_string()))?,
            objects,
            runtime,
            timeout,
            attempts: options.attempts.max(1),
            pause: seconds("pause", options.pause)?,
        })
    }

    fn path(&self, key: &str) -> Path {
        self.prefix.parts().chain(Path::from(key).parts()).collect()
    }

    /// Bytes of a file and when it was changed, in nanoseconds since 1970.
    pub(crate) fn head(&self, key: &str) -> Result<(u64, i64)> {
        let meta = self.persist(
            key,
            |path| async move { Ok(self.objects.head(&path).await?) },
        )?;
        Ok((meta.size, changed(&meta)))
    }

    /// What is in a folder.
    pub(crate) fn list(&self, key: &str) -> Result<Listing> {
        let found = self.persist(key, |path| async move {
            let prefix = (!path.as_ref().is_empty()).then_some(path);
            let found = self.objects.list_with_delimiter(prefix.as_ref()).await;
            found.map_err(|error| {
                let mut failure = Failure::from(error);
                // WebDAV's way of listing is not known to most servers of files.
                if refused(&failure.message) {
                    failure.message = format!("it lists no folders ({})", failure.message);
                    failure.hopeless = true;
                }
                failure
            })
        })?;
        let name = |path: &Path| path.filename().unwrap_or_default().to_owned();
        let mut listing = Listing {
            folders: found.common_prefixes.iter().map(name).collect(),
            files: found
                .objects
                .iter()
                .map(|meta| (name(&meta.location), meta.size, changed(meta)))
                .collect(),
        };
        listing.folders.sort_unstable();
        listing.files.sort_unstable();
        Ok(listing)
    }

    /// Requests until one succeeds, with growing pauses.
    fn persist<T, F>(&self, key: &str, request: impl Fn(Path) -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, Failure>>,
    {
        let path = self.path(key);
        let mut pause = self.pause;
        let mut attempt = 1;
        loop {
            let limited =
                async { tokio::time::timeout(self.timeout * SLOW, request(path.clone())).await };
            let failure = match self.runtime.block_on(limited) {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(failure)) => failure,
                Err(_) => Failure {
                    message: format!("not done after {:?}", self.timeout * SLOW),
                    missing: false,
                    hopeless: false,
                },
            };
            if failure.missing {
                return Err(StoreError::Missing {
                    location: self.describe(key),
                });
            }
            if failure.hopeless || attempt == self.attempts {
                return Err(StoreError::Remote {
                    url: self.describe(key),
                    attempts: attempt,
                    message: failure.message,
                });
            }
            std::thread::sleep(jitter(pause));
            pause = (pause * 2).min(LONGEST_PAUSE);
            attempt += 1;
        }
    }
}

/// Whether a server knows no such request. The library shows a status in its message alone,
/// beside times and addresses that may hold the same digits.
fn refused(message: &str) -> bool {
    ["400", "405", "501"]
        .iter()
        .any(|code| message.contains(&format!("status code: {code} ")))
}

/// When an object was changed, in nanoseconds since 1970; 0 where the server does not say.
fn changed(meta: &ObjectMeta) -> i64 {
    meta.last_modified.timestamp_nanos_opt().unwrap_or_default()
}

/// Half to all of a pause, so that many clients do not come back at once.
fn jitter(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) >> 40;
    pause.mul_f64(0.5 + random as f64 / (1u64 << 25) as f64)
}

impl From<object_store::Error> for Failure {
    fn from(error: object_store::Error) -> Self {
        use object_store::Error as E;
        Self {
            missing: matches!(error, E::NotFound { .. }),
            hopeless: matches!(
                error,
                E::PermissionDenied { .. } | E::Unauthenticated { .. } | E::InvalidPath { .. }
            ),
            message: chain(&error),
        }
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        source = cause.source();
    }
    message
}

impl Source for Remote {
    fn describe(&self, key: &str) -> String {
        format!("{}/{key}", self.address)
    }

    fn read(&self, key: &str, limit: u64) -> Result<Vec<u8>> {
        self.persist(key, |path| async move {
            let result = self.objects.get(&path).await?;
            if result.meta.size > limit {
                return Err(Failure {
                    message: format!("{} bytes, at most {limit} are read", result.meta.size),
                    missing: false,
                    hopeless: true,
                });
            }
            let size = result.meta.size;
            let bytes = result.bytes().await?;
            whole(bytes.len(), size)?;
            Ok(bytes.to_vec())
        })
    }

    fn forget(&self, _key: &str, _size: u64) -> bool {
        true
    }

    fn ranges(
        &self,
        key: &str,
        size: u64,
        ranges: &[Range<u64>],
        _buffer: &mut Vec<u8>,
        take: &mut dyn FnMut(usize, &[u8]) -> Result<()>,
    ) -> Result<()> {
        for (range, parts) in join(ranges, GAP) {
            let bytes = self.persist(key, |path| {
                let range = range.clone();
                async move {
                    let options = GetOptions {
                        range: Some(GetRange::Bounded(range.clone())),
                        ..GetOptions::default()
                    };
                    let result = self.objects.get_opts(&path, options).await?;
                    if result.meta.size != size {
                        return Err(Failure {
                            message: format!("{} bytes, not {size}", result.meta.size),
                            missing: false,
                            hopeless: false,
                        });
                    }
                    let bytes = result.bytes().await?;
                    whole(bytes.len(), range.end - range.start)?;
                    Ok(bytes)
                }
            })?;
            for i in parts {
                let start = (ranges[i].start - range.start) as usize;
                let end = (ranges[i].end - range.start) as usize;
                take(i, &bytes[start..end])?;
            }
        }
        Ok(())
    }
}

/// A body must have the length that its header promised.
fn whole(found: usize, expected: u64) -> std::result::Result<(), Failure> {
    if found as u64 == expected {
        return Ok(());
    }
    Err(Failure {
        message: format!("the answer has {found} of {expected} bytes"),
        missing: false,
        hopeless: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_times_and_ports_are_no_status() {
        let message = |status| {
            format!(
                "Error performing PROPFIND http://127.0.0.1:44005/x in 43.94054ms - Server returned \
                 non-2xx status code: {status}: "
            )
        };
        assert!(!refused(&message("500 Internal Server Error")));
        assert!(refused(&message("405 Method Not Allowed")));
    }
}
