use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    if hex == "-" {
        return Vec::new();
    }
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

/// Compares with what Go said: `testdata/go_regex.go` wrote the file.
#[test]
fn patterns_are_taken_refused_and_matched_as_in_go() {
    let (mut taken, mut refused, mut matches) = (0, 0, 0);
    let mut wrong = Vec::new();
    let lines = include_str!("../../testdata/go_regex.txt").lines();
    for line in lines.filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let pattern = String::from_utf8(bytes(words.next().unwrap())).unwrap();
        let go_takes_it = words.next() == Some("1");
        match GoRegex::new(&pattern) {
            Err(error) if go_takes_it => wrong.push(format!("{pattern:?}: refused, {error}")),
            Ok(_) if !go_takes_it => wrong.push(format!("{pattern:?}: taken")),
            Err(_) => refused += 1,
            Ok(regex) => {
                taken += 1;
                for word in words {
                    let (text, expected) = word.split_once(':').unwrap();
                    let text = bytes(text);
                    matches += 1;
                    if regex.is_match(&text) != (expected == "1") {
                        let text = text.escape_ascii();
                        wrong.push(format!("{pattern:?} in \"{text}\": Go says {expected}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        taken > 3_000 && refused > 200 && matches > 30_000,
        "{taken} {refused} {matches}"
    );
}

#[test]
fn a_pattern_has_a_limit_in_every_dimension() {
    let deep = |n: usize| format!("{}a{}", "(".repeat(n), ")".repeat(n));
    assert!(GoRegex::new(&deep(200)).is_ok());
    assert!(GoRegex::new(&deep(201)).unwrap_err().contains("200 groups"));

    let stacked = |n: usize| format!("a{}", r"*\Q\E".repeat(n));
    assert!(GoRegex::new(&stacked(200)).is_ok());
    assert!(
        GoRegex::new(&stacked(201))
            .unwrap_err()
            .contains("200 repetitions")
    );

    assert!(GoRegex::new(&"a".repeat(PATTERN_BYTES_MAX)).is_ok());
    let error = GoRegex::new(&"a".repeat(PATTERN_BYTES_MAX + 1)).unwrap_err();
    assert!(error.contains("8192 bytes"), "{error}");

    let error = GoRegex::new(r"\pL{1000}").unwrap_err();
    assert!(error.contains("too large"), "{error}");
}

#[test]
fn a_refusal_says_what_is_wrong() {
    let table = [
        ("(?=a)", "there is no group of the form (?="),
        ("a**", "* follows a repetition"),
        ("a{2}{3}", "{3} follows a repetition"),
        (
            "a{2,1}",
            "{2,1} is no count: numbers go to 1000, the smaller first",
        ),
        ("(a{100}){11}", "{11} repeats more than 1000 times"),
        ("[a", "a character class does not end: ] is missing"),
        ("[z-a]", "the range z-a ends before it begins"),
        (r"\p{Nope}", r"there is no class \p{Nope}"),
        ("[[:no:]]", "there is no class [:no:]"),
        (r"\1", r"the escape \1 has no meaning"),
        ("(a", "a group does not end: ) is missing"),
        ("a)", "a group ends that did not begin: ) without ("),
        ("+a", "there is nothing before + to be repeated"),
        (r"a\", "ends with a backslash"),
    ];
    for (pattern, expected) in table {
        assert_eq!(GoRegex::new(pattern).unwrap_err(), expected, "{pattern}");
    }
}

#[test]
fn script_names_of_two_words_are_known_though_go_forgot_them() {
    assert!(
        GoRegex::new(r"\p{Old_Italic}")
            .unwrap()
            .is_match("\u{10300}".as_bytes())
    );
    assert!(!GoRegex::new(r"\p{Old_Italic}").unwrap().is_match(b"a"));
}
