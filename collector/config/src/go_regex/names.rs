//! The names of classes that Go knows: general categories, their long names, and scripts, of Unicode 15.

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

/// In lower case and without underscores, as they are compared.
const CATEGORIES: &str = "
    any ascii assigned c casedletter cc cf closepunctuation cn cntrl co combiningmark
    connectorpunctuation control currencysymbol dashpunctuation decimalnumber digit enclosingmark
    finalpunctuation format initialpunctuation l lc letter letternumber lineseparator ll lm lo
    lowercaseletter lt lu m mark mathsymbol mc me mn modifierletter modifiersymbol n nd nl no
    nonspacingmark number openpunctuation other otherletter othernumber otherpunctuation othersymbol
    p paragraphseparator pc pd pe pf pi po privateuse ps punct punctuation s sc separator sk sm so
    spaceseparator spacingmark symbol titlecaseletter unassigned uppercaseletter z zl zp
    zs
";

/// As [`CATEGORIES`]. Go 1.25 and 1.26 refuse names of two words, such as `Old_Italic`, by a slip; earlier ones and the
/// documentation have them, and so have we.
const SCRIPTS: &str = "
    adlam ahom anatolianhieroglyphs arabic armenian avestan balinese bamum bassavah batak bengali
    bhaiksuki bopomofo brahmi braille buginese buhid canadianaboriginal carian caucasianalbanian
    chakma cham cherokee chorasmian common coptic cuneiform cypriot cyprominoan cyrillic deseret
    devanagari divesakuru dogra duployan egyptianhieroglyphs elbasan elymaic ethiopic georgian
    glagolitic gothic grantha greek gujarati gunjalagondi gurmukhi han hangul hanifirohingya hanunoo
    hatran hebrew hiragana imperialaramaic inherited inscriptionalpahlavi inscriptionalparthian
    javanese kaithi kannada katakana kawi kayahli kharoshthi khitansmallscript khmer khojki
    khudawadi lao latin lepcha limbu lineara linearb lisu lycian lydian mahajani makasar malayalam
    mandaic manichaean marchen masaramgondi medefaidrin meeteimayek mendekikakui meroiticcursive
    meroitichieroglyphs miao modi mongolian mro multani myanmar nabataean nagmundari nandinagari
    newa newtailue nko nushu nyiakengpuachuehmong ogham olchiki oldhungarian olditalic
    oldnortharabian oldpermic oldpersian oldsogdian oldsoutharabian oldturkic olduyghur oriya osage
    osmanya pahawhhmong palmyrene paucinhau phagspa phoenician psalterpahlavi rejang runic samaritan
    saurashtra sharada shavian siddham signwriting sinhala sogdian sorasompeng soyombo sundanese
    sylotinagri syriac tagalog tagbanwa taile taitham taiviet takri tamil tangsa tangut telugu
    thaana thai tibetan tifinagh tirhuta toto ugaritic vai vithkuqi wancho warangciti yezidi yi
    zanabazarsquare
";

/// Go knows these as well; no text holds such a character.
const SURROGATES: &str = "cs surrogate";

/// The class of this name; `None` when Go has none. Case, underscores, hyphens and spaces make no difference.
pub(super) fn class(name: &str) -> Option<ClassUnicode> {
    let plain: String = name
        .chars()
        .filter(|char| !matches!(char, '_' | '-' | ' '))
        .map(|char| char.to_ascii_lowercase())
        .collect();
    let known = |names: &str| names.split_ascii_whitespace().any(|known| known == plain);
    let query = if known(SURROGATES) {
        return Some(ClassUnicode::empty());
    } else if known(CATEGORIES) {
        format!("\\p{{gc={plain}}}")
    } else if known(SCRIPTS) {
        format!("\\p{{sc={plain}}}")
    } else {
        return None;
    };
    match regex_syntax::parse(&query).ok()?.into_kind() {
        HirKind::Class(Class::Unicode(class)) => Some(class),
        // A class of one character, such as Zl.
        HirKind::Literal(literal) => {
            let text = std::str::from_utf8(&literal.0).ok()?;
            Some(ClassUnicode::new(
                text.chars().map(|char| ClassUnicodeRange::new(char, char)),
            ))
        }
        HirKind::Empty
        | HirKind::Class(Class::Bytes(_))
        | HirKind::Look(_)
        | HirKind::Repetition(_)
        | HirKind::Capture(_)
        | HirKind::Concat(_)
        | HirKind::Alternation(_) => None,
    }
}
