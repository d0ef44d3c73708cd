use super::*;
use LabelUnderscores::{Collapse, Preserve};

fn name(key: &[u8], underscores: LabelUnderscores) -> Result<String, LabelDefect> {
    let mut out = b"before ".to_vec();
    let result = put_name(key, underscores, &mut out);
    let name = appended(&out);
    assert!(
        result.is_ok() || name.is_empty(),
        "nothing is appended for a key that gives no name"
    );
    result.map(|()| name)
}

fn appended(out: &[u8]) -> String {
    let text = str::from_utf8(out).expect("names are ASCII");
    text.strip_prefix("before ")
        .expect("what was there stays")
        .to_owned()
}

#[test]
fn keys_become_names() {
    let table: [(&str, &str, &str); 20] = [
        // key, collapse, preserve
        ("http.method", "http_method", "http_method"),
        ("http_method", "http_method", "http_method"),
        ("a..b", "a_b", "a__b"),
        ("a__b", "a_b", "a__b"),
        ("a.", "a_", "a_"),
        ("A9", "A9", "A9"),
        ("2xx", "key_2xx", "key_2xx"),
        ("2..x", "key_2_x", "key_2__x"),
        ("_x", "key_x", "_x"),
        (".x", "key_x", "_x"),
        ("__x", "key_x", "__x"),
        ("__x__", "__x__", "__x__"),
        ("__a..b__", "__a_b__", "__a__b__"),
        ("___x__", "___x__", "___x__"),
        ("__2__", "__2__", "__2__"),
        ("größe", "gr_e", "gr__e"),
        ("日本x", "key_x", "__x"),
        ("a:b", "a_b", "a_b"),
        ("a b", "a_b", "a_b"),
        ("x__", "x_", "x__"),
    ];
    for (key, collapsed, preserved) in table {
        assert_eq!(
            name(key.as_bytes(), Collapse).as_deref(),
            Ok(collapsed),
            "{key:?}"
        );
        assert_eq!(
            name(key.as_bytes(), Preserve).as_deref(),
            Ok(preserved),
            "{key:?}"
        );
    }
}

#[test]
fn a_key_of_which_only_underscores_are_left_gives_no_name() {
    for underscores in [Collapse, Preserve] {
        assert_eq!(name(b"", underscores), Err(LabelDefect::Empty));
        for key in ["____", "_____", "__..__"] {
            assert_eq!(
                name(key.as_bytes(), underscores),
                Err(LabelDefect::OnlyUnderscores),
                "{key:?}"
            );
        }
    }
    for key in ["_", "..", "日本"] {
        assert_eq!(
            name(key.as_bytes(), Preserve),
            Err(LabelDefect::OnlyUnderscores),
            "{key:?}"
        );
        // Upstream's default gives these a name, and it is a valid one.
        assert_eq!(name(key.as_bytes(), Collapse).as_deref(), Ok("key_"), "{key:?}");
    }
}

#[test]
fn each_byte_that_is_no_text_is_one_character() {
    assert_eq!(name(b"a\xff\xe6\x97b", Preserve).as_deref(), Ok("a___b"));
    assert_eq!(name(b"a\xff\xe6\x97b", Collapse).as_deref(), Ok("a_b"));
}

#[test]
fn the_documentation_tells_the_truth_of_labels() {
    let rows = crate::names::tests::documented("| key | collapse | preserve |");
    assert!(rows.len() > 4);
    for row in rows {
        let [key, collapsed, preserved] = &row[..] else {
            panic!("{row:?}")
        };
        assert_eq!(name(key.as_bytes(), Collapse).as_ref(), Ok(collapsed), "{row:?}");
        assert_eq!(name(key.as_bytes(), Preserve).as_ref(), Ok(preserved), "{row:?}");
    }
}

proptest::proptest! {
    #[test]
    fn every_name_that_is_made_is_valid(key: Vec<u8>, collapse: bool) {
        let underscores = if collapse { Collapse } else { Preserve };
        let mut out = Vec::new();
        if put_name(&key, underscores, &mut out).is_ok() {
            proptest::prop_assert!(!out[0].is_ascii_digit());
            proptest::prop_assert!(out.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_'));
            proptest::prop_assert!(out.len() <= key.len() + 4);
        }
    }
}
