//! What traffic and policies speak of: the keys, the values that are to be met, and what stands there instead.

/// What an attribute usually holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// Text, and everything else.
    Text,
    /// Long and strange text, and everything else.
    StrangeText,
    /// Whole numbers and fractions between -1 and 1: what upstream reads as 0 is in a range of whole numbers, one of
    /// whose bounds is not 0, exactly when it is for us. So ranges may be around 0.
    Number,
    /// Whole numbers and everything else: upstream reads that as 0, we do not; ranges are never around 0.
    AnyNumber,
    /// Truth values only, so that a policy may ask for `false`.
    Flag,
    /// Truth values and everything else, which upstream reads as `false`: policies ask for `true`.
    AnyFlag,
}

/// A key and how often it is met.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) key: &'static str,
    pub(super) holds: Holds,
    /// Share of spans that have it, 0.0 to 1.0.
    pub(super) on_spans: f64,
    /// Share of resources that have it, 0.0 to 1.0.
    pub(super) on_resources: f64,
}

const fn word(key: &'static str, holds: Holds, on_spans: f64, on_resources: f64) -> Word {
    Word {
        key,
        holds,
        on_spans,
        on_resources,
    }
}

pub(super) const WORDS: [Word; 13] = [
    word("http.route", Holds::Text, 0.25, 0.0),
    word("db.system", Holds::Text, 0.15, 0.0),
    word("service.name", Holds::Text, 0.03, 0.9),
    word("env", Holds::Text, 0.1, 0.4),
    word("message", Holds::StrangeText, 0.12, 0.0),
    word("host.name", Holds::StrangeText, 0.03, 0.2),
    word("retry", Holds::Number, 0.15, 0.05),
    word("size", Holds::Number, 0.05, 0.0),
    word("http.status_code", Holds::AnyNumber, 0.25, 0.03),
    word("beta", Holds::Flag, 0.1, 0.1),
    word("cache.hit", Holds::AnyFlag, 0.2, 0.05),
    word("sampling.priority", Holds::AnyFlag, 0.0, 0.2),
    // Nobody asks for it.
    word("", Holds::Text, 0.02, 0.02),
];

/// Usual values of text attributes, the first more often than the last.
pub(super) const TEXTS: [&str; 16] = [
    "/api/v1/items",
    "checkout",
    "/api/v2/items/42",
    "prod",
    "/health",
    "cart",
    "postgresql",
    "/API/V1/ITEMS",
    "staging",
    "prod-eu",
    "redis",
    "api",
    "true",
    "0",
    "42",
    "",
];

/// Values on which engines of regular expressions tend to differ.
pub(super) const STRANGE_TEXTS: [&str; 30] = [
    "line1\nline2",
    "line1\r\nline2\n",
    "trailing\n",
    "\n",
    "tab\there",
    " leading and trailing ",
    "caf\u{e9}",
    "cafe\u{301}",
    "\u{3b1}\u{3b2}\u{3b3} \u{3a3}\u{3c3}\u{3c2}",
    "\u{17f}traße STRASSE",
    "\u{212a}elvin k K",
    "\u{130}stanbul \u{131}",
    "\u{661}\u{662}\u{663}",
    "\u{1f600} smile",
    "\u{feff}bom",
    "nul\0inside",
    "\u{2028}separator\u{85}next",
    "a-b_c.d/e",
    "aaa aa a",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
    "(parens) [brackets] {braces} \\ ^ $ . | ? * +",
    "x86_64 items itemsize",
    "naïve \u{ff23}\u{ff21}\u{ff33}\u{ff25}",
    "\u{10ffff}",
    "\u{fffd}",
    "$HOME ${env:HOME} $$",
    "\"quoted\" 'single' `tick`",
    "0x1F 1e9 -7 +3 007",
    "\u{5d0}\u{5d1} \u{627}\u{628} \u{4e2d}\u{6587}",
    "\u{1d7d8}\u{1d7d9}",
];

/// Text that is not UTF-8.
pub(super) const BROKEN_TEXTS: [&[u8]; 6] = [
    b"broken \xff byte",
    b"\xc3",
    b"cut \xf0\x9f\x98",
    b"\xed\xa0\x80 surrogate",
    b"\xc0\x80 overlong",
    b"caf\xe9 latin1",
];

/// A regular expression in Go's flavour and whether it matches the empty text. Those that do are never put to a key
/// that resources have: upstream reads an empty or absent text there, and anything that is no text, as "".
pub(super) const PATTERNS: [(&str, bool); 74] = [
    (r"^/api/v[0-9]+/", false),
    (r"items", false),
    (r"^prod$", false),
    (r"^prod", false),
    (r"prod(-eu)?$", false),
    (r"cart|check", false),
    (r"^(?:cart|checkout)$", false),
    (r"(?i)^/api", false),
    (r"(?i:API)/v1", false),
    (r"\d", false),
    (r"^\d+$", false),
    (r"\d{2,3}", false),
    (r"\D{12,}", false),
    (r"\w+$", false),
    (r"^\w+$", false),
    (r"\W", false),
    (r"\s", false),
    (r"\s$", false),
    (r"^\S+$", false),
    (r"\bitems\b", false),
    (r"\Bitems", false),
    (r"\b\W", false),
    (r"^.{5}$", false),
    (r"^.{4}$", false),
    (r"^.$", false),
    (r".", false),
    (r"(?s).\n.", false),
    (r"line1.line2", false),
    (r"(?s)line1.line2", false),
    (r"(?s)line1..line2", false),
    (r"(?m)^line2$", false),
    (r"(?m)^line1$", false),
    (r"line2$", false),
    (r"trailing$", false),
    (r"(?m)trailing$", false),
    (r"trailing\z", false),
    (r"\Aline", false),
    (r"(?i)stra\x{df}e", false),
    (r"(?i)strasse", false),
    (r"(?i)s", false),
    (r"(?i)k", false),
    (r"(?i)\x{3c3}{3}", false),
    (r"(?i)[k-l]e", false),
    (r"(?i)[^k]k", false),
    (r"(?i)istanbul", false),
    (r"\pL{5}", false),
    (r"\p{Greek}+", false),
    (r"\P{Latin}\P{Latin}", false),
    (r"\p{Han}", false),
    (r"\p{Lu}", false),
    (r"\pN", false),
    (r"[\p{Nd}]{2}", false),
    (r"\p{Cyrillic}", false),
    (r"[^\x00-\x7F]", false),
    (r"[^a-z]{10}", false),
    (r"\x{1F600}", false),
    (r"\x{FFFD}", false),
    (r"\x00", false),
    (r"[[:alpha:]]{8}", false),
    (r"[[:^ascii:]]", false),
    (r"[[:punct:]]{2}", false),
    (r"[[:word:]]\.[[:word:]]", false),
    (r"\Q(parens) [\E", false),
    (r"(?U)a+b", false),
    (r"a{3}?\b", false),
    (r"^(a|aa)+b$", false),
    (r"(?P<n>v)\d", false),
    (r"[\]\[]", false),
    (r"\$\{", false),
    (r"\.\s\|", false),
    (r"^$", true),
    (r".*", true),
    (r"^\d*$", true),
    (r"(?:^|items)$", true),
];

/// Trace states that mean something.
pub(super) const TRACE_STATES: [&str; 12] = [
    "vendor=on",
    "vendor=off",
    "vendor=on,other=1",
    "other=1,vendor=on",
    "other=1 , vendor=on ",
    "\tvendor=on,,other=2",
    "tenant@vendor=on",
    "0tenant@vendor=on,vendor=off",
    "a=1,b=2,c=3,d=4,e=5,f=6,g=7,h=8,vendor=on",
    "k-_*/9=v!~",
    "vendor=on off",
    ",vendor=on,",
];

/// Trace states that W3C's rules refuse, or that one reader takes and another does not.
pub(super) const BROKEN_TRACE_STATES: [&str; 22] = [
    "vendor",
    "vendor=",
    "=on",
    "vendor=on,vendor=on",
    "vendor=on,vendor=off",
    "Vendor=on",
    "vendor=on,X=1",
    "vendor=on;other=1",
    "vendor=on=on",
    "vendor =on",
    "vendor= on",
    "vendor=on, ",
    "vendor=on,\n",
    "vendor=on\t\t",
    "vendor=on\n",
    "vendor=o\tn",
    "9vendor=on",
    "a@9vendor=on,vendor=on",
    "a@b@c=1,vendor=on",
    "vendor=\u{e9},other=1",
    "v\u{e9}ndor=on,vendor=on",
    " ",
];

/// Keys and values for which policies look in trace states.
pub(super) const WANTED_STATES: [(&str, &[&str]); 9] = [
    ("vendor", &["on"]),
    ("vendor", &["off", "nothing"]),
    ("vendor", &["on", "off"]),
    ("vendor", &["on off"]),
    ("other", &["1", "2"]),
    ("tenant@vendor", &["on"]),
    ("0tenant@vendor", &["on", "off"]),
    ("k-_*/9", &["v!~"]),
    ("m7", &["x", "y"]),
];
