//! Corpora behind addresses: what is scanned and prepared is as if the files were here, whatever
//! the server does.

use std::fs;
use std::path::Path;

use super::common::{
    Folder, amaes, bids, command, dump, ended, failed, gzip, image, rows, tar_of, write_tree,
    zip_of,
};
use super::prepare::same;
use super::server::{Fault, Server};

/// A BIDS tree, archives of it and a pair, under `bucket/x`.
fn corpus() -> Folder {
    let folder = Folder::new();
    write_tree(&folder, "bucket/x", &bids());
    folder.write(
        "bucket/x/more/a.tar",
        tar_of(
            &[
                ("t/sub-11_T1w.nii.gz", image(31, true)),
                ("t/sub-12_T1w.nii", image(32, false)),
            ]
            .into(),
        ),
    );
    folder.write(
        "bucket/x/more/b.tar.gz",
        gzip(&tar_of(&[("g/sub-13_T1w.nii.gz", image(33, true))].into())),
    );
    folder.write(
        "bucket/x/more/c.zip",
        zip_of(&[("z/sub-14_T1w.nii", image(34, false))].into()),
    );
    folder.image("bucket/x/more/sub-15_T1w.nii", 35);
    folder
}

/// The files of a folder, a line each.
fn list(folder: &Path) -> String {
    let mut names = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for item in fs::read_dir(&next).expect("a folder").flatten() {
            let path = item.path();
            match path.is_dir() {
                true if path.ends_with("derivatives") || path.ends_with(".hidden") => {}
                true => folders.push(path),
                false => names.push(
                    path.strip_prefix(folder)
                        .expect("within")
                        .display()
                        .to_string(),
                ),
            }
        }
    }
    names.sort();
    names.join("\n")
}

fn scan<'a>(root: &'a str, catalogue: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let args = [
        "corpus", "scan", root, "-c", catalogue, "--source", "x", "--quiet",
    ];
    [&args[..], more].concat()
}

fn prepare<'a>(catalogue: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [
        &["corpus", "prepare", catalogue, "--out", out, "--quiet"][..],
        more,
    ]
    .concat()
}

/// Catalogue and store of the files as they lie here.
fn local(folder: &Folder) -> (String, String) {
    let (root, catalogue, store) = (
        folder.text("bucket/x"),
        folder.text("here.sqlite"),
        folder.text("here.store"),
    );
    ended(&amaes(&scan(&root, &catalogue, &[])), 0);
    ended(&amaes(&prepare(&catalogue, &store, &[])), 0);
    (catalogue, store)
}

#[test]
fn a_server_of_files_that_misbehaves_changes_nothing() {
    let folder = corpus();
    let (expected, store) = local(&folder);
    folder.write("names.txt", list(&folder.path("bucket/x")));
    let (names, cache) = (folder.text("names.txt"), folder.text("cache"));
    let server = Server::new(&folder.path("bucket"));
    let root = format!("{}/x", server.url());
    let patience = ["--timeout", "0.5", "--attempts", "9"];
    let kept = [&["--cache", &cache, "--cache-size", "8MiB"][..], &patience].concat();

    // A server that lists nothing says what to do.
    let there = folder.text("there.sqlite");
    server.fail("x", &[Fault::Status(405)]);
    failed(
        &amaes(&scan(&root, &there, &patience)),
        &[&root, "lists no folders"],
    );

    // Every kind of trouble, less often than a request is made again.
    let all = [
        Fault::Status(500),
        Fault::Drop,
        Fault::None,
        Fault::StallHalfway,
        Fault::Short,
        Fault::Status(503),
        Fault::None,
        Fault::WrongRange,
        Fault::Whole,
        Fault::Stall,
    ];
    server.fail(".nii", &all);
    let listed = [&["--files", &names][..], &kept].concat();
    ended(&amaes(&scan(&root, &there, &listed)), 0);
    assert_eq!(dump(there.as_ref()), dump(expected.as_ref()));

    // Volumes come from the cache on disk; sizes and times are asked for again.
    let fetched = server.bytes();
    let out = folder.text("there.store");
    ended(&amaes(&prepare(&there, &out, &kept)), 0);
    same(out.as_ref(), store.as_ref());
    assert!(
        server.bytes() == fetched,
        "{} bytes more",
        server.bytes() - fetched
    );
    // Without it they are fetched, each at most once.
    server.fail(".tar", &all);
    let out = folder.text("again.store");
    ended(&amaes(&prepare(&there, &out, &patience)), 0);
    same(out.as_ref(), store.as_ref());
    assert!(server.bytes() > fetched);

    // One byte on the way is another: that volume is not what was scanned, the rest goes on.
    server.fail("sub-15", &[Fault::None, Fault::Flip]);
    let out = folder.text("flipped.store");
    ended(&amaes(&prepare(&there, &out, &patience)), 3);
    ended(
        &amaes(&prepare(
            &there,
            &out,
            &[&["--resume"][..], &patience].concat(),
        )),
        0,
    );
    let quarantine = fs::read(folder.path("flipped.store/quarantine.jsonl")).unwrap_or_default();
    assert!(quarantine.is_empty());

    // Nothing has changed, so nothing but sizes and times is asked for.
    let before = (server.bytes(), server.requests());
    ended(&amaes(&scan(&root, &there, &listed)), 0);
    assert_eq!(server.bytes(), before.0);
    assert!(server.requests() > before.1);
}

#[test]
fn a_server_that_is_down_breaks_no_volume() {
    let folder = corpus();
    let (expected, _) = local(&folder);
    folder.write("names.txt", list(&folder.path("bucket/x")));
    let names = folder.text("names.txt");
    let server = Server::new(&folder.path("bucket"));
    let root = format!("{}/x", server.url());
    let mut there = String::new();
    let more = [
        "--files",
        &names,
        "--timeout",
        "0.5",
        "--attempts",
        "2",
        "--threads",
        "1",
    ];
    let all_down = [
        "sub-02_acq-c_T1w",
        "sub-02_T2w.json",
        "more/a.tar",
        "more/c.zip",
        "b.tar.gz",
    ];
    for (n, down) in all_down.into_iter().enumerate() {
        // What one scan has written down the next does not ask for.
        there = folder.text(&format!("{n}.sqlite"));
        server.fail(down, &[Fault::Status(502); 1000]);
        let port = server.port().to_string();
        failed(
            &amaes(&scan(&root, &there, &more)),
            &[down, &port, "2 attempts"],
        );
        assert!(
            rows(
                there.as_ref(),
                "SELECT 1 FROM volumes WHERE reasons LIKE '%broken%'"
            )
            .is_empty()
        );
    }
    server.fail("", &[]);
    ended(&amaes(&scan(&root, &there, &more)), 0);
    assert_eq!(dump(there.as_ref()), dump(expected.as_ref()));

    server.fail("sub-01_ses-a_T1w", &[Fault::Status(502); 1000]);
    let out = folder.text("there.store");
    let patience = ["--timeout", "0.5", "--attempts", "2"];
    failed(
        &amaes(&prepare(&there, &out, &patience)),
        &["sub-01_ses-a_T1w", "2 attempts"],
    );
    server.fail("", &[]);
    let resume = [&["--resume"][..], &patience].concat();
    ended(&amaes(&prepare(&there, &out, &resume)), 0);
    same(out.as_ref(), folder.text("here.store").as_ref());
}

#[test]
fn folders_that_webdav_lists_are_scanned() {
    let folder = corpus();
    let (expected, store) = local(&folder);
    let server = Server::new(&folder.path("bucket"));
    let root = format!("{}/x", server.url());
    let there = folder.text("there.sqlite");
    server.fail("anat", &[Fault::Status(500), Fault::None, Fault::Drop]);
    ended(&amaes(&scan(&root, &there, &[])), 0);
    assert_eq!(dump(there.as_ref()), dump(expected.as_ref()));
    let out = folder.text("there.store");
    ended(&amaes(&prepare(&there, &out, &[])), 0);
    same(out.as_ref(), store.as_ref());
    let nowhere = format!("{}/y", server.url());
    failed(
        &amaes(&scan(&nowhere, &there, &[])),
        &[&nowhere, "nothing is there"],
    );

    // A server without WebDAV is asked once; one in trouble as often as it may be.
    for (code, requests) in [(400, 1), (405, 1), (501, 1), (500, 3), (503, 3)] {
        server.fail("", &[Fault::Status(code); 3]);
        let before = server.requests();
        let run = amaes(&scan(&root, &there, &["--again", "--attempts", "3"]));
        let says: &[&str] = match requests {
            1 => &["it lists no folders", "(after 1 attempts)"],
            _ => &["(after 3 attempts)"],
        };
        failed(&run, says);
        assert_eq!(server.requests() - before, requests, "{code}");
    }
}

#[test]
fn buckets_and_single_files_are_scanned() {
    let folder = corpus();
    let (expected, store) = local(&folder);
    let server = Server::new(folder.path("").as_ref());
    let s3 = |args: &[&str]| {
        let mut command = command(args);
        command.env("AWS_ENDPOINT", server.url());
        command.env("AWS_ALLOW_HTTP", "true");
        for (name, value) in [
            ("REGION", "here"),
            ("ACCESS_KEY_ID", "id"),
            ("SECRET_ACCESS_KEY", "none"),
        ] {
            command.env(format!("AWS_{name}"), value);
        }
        command.output().expect("amaes starts")
    };
    let there = folder.text("there.sqlite");
    server.fail("list-type", &[Fault::Status(500), Fault::None, Fault::Drop]);
    ended(&s3(&scan("s3://bucket/x", &there, &[])), 0);
    assert_eq!(dump(there.as_ref()), dump(expected.as_ref()));
    let out = folder.text("there.store");
    ended(&s3(&prepare(&there, &out, &[])), 0);
    same(out.as_ref(), store.as_ref());
    failed(
        &s3(&scan("s3://bucket/y", &there, &[])),
        &["s3://bucket/y", "nothing is there"],
    );

    // An archive alone, as a path and as an address.
    for name in ["more/c.zip", "more/b.tar.gz", "sub-02/anat/sub-02_T1w.nii"] {
        let (here, there) = (folder.text("one.sqlite"), folder.text("other.sqlite"));
        let path = folder.text(&format!("bucket/x/{name}"));
        ended(&amaes(&scan(&path, &here, &["--again"])), 0);
        let address = format!("{}/bucket/x/{name}", server.url());
        ended(&amaes(&scan(&address, &there, &["--again"])), 0);
        assert_eq!(dump(there.as_ref()), dump(here.as_ref()), "{name}");
    }
    let nowhere = format!("{}/bucket/x/nowhere.zip", server.url());
    failed(
        &amaes(&scan(&nowhere, &there, &[])),
        &["nowhere.zip", "not there"],
    );
}
