//! Who is in an image, by BIDS entities and by the names that large studies use.

/// Subject and session of a path, as far as names tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) subject: Option<String>,
    pub(super) session: Option<String>,
}

/// The value of a BIDS entity in a name: `entity("sub-01_ses-2_T1w", "ses")` is `2`.
pub(super) fn entity<'a>(name: &'a str, key: &str) -> Option<&'a str> {
    name.split('_').find_map(|part| {
        let value = part.strip_prefix(key)?.strip_prefix('-')?;
        (!value.is_empty()).then_some(value)
    })
}

/// Subject and session of a file: from its name, then from its folders, the nearest first. `stem`
/// is without extension.
pub(super) fn of_path(stem: &str, folders: &[&str]) -> Named {
    let mut out = Named::default();
    let parts = || std::iter::once(stem).chain(folders.iter().rev().copied());
    for part in parts() {
        out.subject = out
            .subject
            .or_else(|| entity(part, "sub").map(str::to_owned));
        out.session = out
            .session
            .or_else(|| entity(part, "ses").map(str::to_owned));
    }
    for part in parts() {
        if out.subject.is_none() {
            out.subject = study_subject(part);
        }
        if out.session.is_none() {
            out.session = study_session(part);
        }
    }
    out
}

/// `002_S_0295` of ADNI, `OAS30001` of OASIS, `BraTS2021_00002`, `BRATS_001`.
fn study_subject(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split('_').collect();
    let digits = |w: &str, n: usize| w.len() == n && w.bytes().all(|b| b.is_ascii_digit());
    for w in words.windows(3) {
        if digits(w[0], 3) && w[1].eq_ignore_ascii_case("S") && (digits(w[2], 4) || digits(w[2], 5))
        {
            return Some(w.join("_"));
        }
    }
    for w in words.windows(2) {
        let name = w[0].to_ascii_lowercase();
        if name.starts_with("brats") && w[1].bytes().all(|b| b.is_ascii_digit()) && !w[1].is_empty()
        {
            return Some(w.join("_"));
        }
        if name == "ppmi" && w[1].len() >= 4 && w[1].bytes().all(|b| b.is_ascii_digit()) {
            return Some(w[1].to_owned());
        }
    }
    let oasis = |w: &&&str| w.len() == 8 && w.starts_with("OAS") && digits(&w[3..], 5);
    words.iter().find(oasis).map(|w| (*w).to_owned())
}

/// A folder of a date (`2006-04-18_08_20_30.0`) or OASIS's days (`d0129`).
fn study_session(text: &str) -> Option<String> {
    let date = text.as_bytes().get(..10)?;
    let is_date = date.iter().enumerate().all(|(i, b)| match i {
        4 | 7 => *b == b'-',
        _ => b.is_ascii_digit(),
    });
    if is_date {
        return Some(text[..10].to_owned());
    }
    let day =
        |w: &&str| w.len() == 5 && w.starts_with('d') && w[1..].bytes().all(|b| b.is_ascii_digit());
    text.contains("_MR_")
        .then(|| text.split('_').find(day).map(str::to_owned))?
}

/// A name that a file or a folder of any system can have: letters, digits, `.`, `_` and `-`, at
/// most 80 of them.
pub(super) fn portable(text: &str) -> String {
    let keep = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' | '.' => c,
        _ => '-',
    };
    let out: String = text.chars().map(keep).take(80).collect();
    let out = out.trim_start_matches(['.', '-', '_']);
    if out.is_empty() {
        "volume".to_owned()
    } else {
        out.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_and_sessions_of_real_names() {
        for (stem, folders, subject, session) in [
            (
                "sub-01_ses-2_T1w",
                &["sub-01", "ses-2", "anat"][..],
                Some("01"),
                Some("2"),
            ),
            ("T1", &["sub-07", "anat"], Some("07"), None),
            (
                "ADNI_002_S_0295_MR_MP-RAGE__br_raw_20060418193713091_1_S13408_I13722",
                &[
                    "ADNI",
                    "002_S_0295",
                    "MP-RAGE",
                    "2006-04-18_08_20_30.0",
                    "I13722",
                ],
                Some("002_S_0295"),
                Some("2006-04-18"),
            ),
            (
                "PPMI_3102_MR_MPRAGE_I218",
                &["3102", "MPRAGE", "2011-01-20_13_39_11.0"],
                Some("3102"),
                Some("2011-01-20"),
            ),
            (
                "scan",
                &["OAS30001_MR_d0129", "anat1"],
                Some("OAS30001"),
                Some("d0129"),
            ),
            ("BraTS2021_00002_t1ce", &[], Some("BraTS2021_00002"), None),
            ("BRATS_485", &["imagesTs"], Some("BRATS_485"), None),
            ("CT_AVM", &[], None, None),
        ] {
            let found = of_path(stem, folders);
            assert_eq!(found.subject.as_deref(), subject, "{stem}");
            assert_eq!(found.session.as_deref(), session, "{stem}");
        }
    }

    #[test]
    fn portable_names_hold_no_paths() {
        assert_eq!(
            portable("../../etc/passwd"),
            "etc-passwd".trim_start_matches('-')
        );
        assert_eq!(portable("Sub 1/ä"), "Sub-1--");
        assert_eq!(portable("..."), "volume");
        assert_eq!(portable(&"x".repeat(300)).len(), 80);
    }
}
