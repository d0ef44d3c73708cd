// Command go_regex writes what Go's regexp says about patterns and texts, for the tests of the module go_regex:
//
//	go run go_regex.go > go_regex.txt
//
// A line is a pattern in hex, 0 or 1 for whether Go takes it, and for each text its hex, a colon, 0 or 1 for a match.
// An empty text is "-". The random part is the same at each run.
package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"math/rand"
	"os"
	"regexp"
	"strings"
)

// What Go takes or refuses for reasons of its own, and where other engines mean something else.
var patterns = []string{
	``, `a`, `abc`, `a|b`, `a||b`, `|`, `(|a)*`, `^`, `$`, `^$`, `^a`, `a$`, `^abc$`, `.`, `^.$`, `(?s)^.$`, `\A`, `\z`, `\Aa\z`, `\Z`,
	`\d`, `^\d+$`, `\D`, `^\D$`, `\s`, `^\s$`, `\S`, `^\S$`, `\w`, `^\w$`, `\W`, `^\W$`, `\bfoo\b`, `\Bo`, `\B`, `^\B$`, `\B\B`, `x*\B`, `\b`,
	`\Bé`, `é\B`, `\Ba*\B`, `(?:\B|é)`, `(\B)*a`, `a\B$`, `\h`, `\v`, `\t`, `\n`, `\r`, `\f`, `\a`, `\e`, `\_`, `\-`, `\/`, `\ `, `\é`, `\q`, `\8`,
	`\1`, `\12`, `\0`, `\00`, `\012`, `\0123`, `\141`, `\777`, `\400`, `\x41`, `\x4`, `\x`, `\xg1`, `\x{41}`, `\x{}`, `\x{0041}`, `\x{10FFFF}`, `\x{110000}`,
	`\x{00000000000041}`, `\x{e9}`, `\xe9`, `\x{1F600}`, `\x{41`, `\u0041`, `\C`, `\X`, `\R`, `\K`, `\G`, `\N`, `\`, `a\`,
	`\Qa.b\E`, `\Qa.b`, `\Qab\E+`, `\Q\E*`, `a\Q\E*`, `a*\Q\E*`, `a\Q\E{2}`, `^\Q\\E$`, `\E`, `\Q[\E]`, `[\Qa]`, `\Qé\E`, `(?i)\QéA\E`,
	`[a]`, `[^a]`, `[]a]`, `[^]a]`, `[]`, `[^]`, `[]-a]`, `[a-]`, `[-a]`, `[a-z-9]`, `[--/]`, `[+--]`, `[a-\d]`, `[\d-a]`, `[\d-]`, `[z-a]`, `[a-a]`, `[a`, `[a-`, `[`,
	`[[]`, `[[a]]`, `[[:alpha:]]`, `[[:^alpha:]]`, `[^[:alpha:]]`, `[[:word:]]`, `[[:foo:]]`, `[[:x]y:]`, `[:alpha:]`, `[[:alpha:]`, `[[:alpha:]-z]`, `[[.a.]]`, `[[=a=]]`,
	`[[:ascii:]]`, `[[:blank:]]`, `[[:cntrl:]]`, `[[:digit:]]`, `[[:graph:]]`, `[[:lower:]]`, `[[:print:]]`, `[[:punct:]]`, `[[:space:]]`, `[[:upper:]]`, `[[:xdigit:]]`, `[[:alnum:]]`,
	`(?i)[[:upper:]]`, `(?i)[[:^upper:]]`, `(?i)\w`, `^(?i)\W$`, `[a&&b]`, `[a--b]`, `[a~~b]`, `[\b]`, `[\z]`, `[\]]`, `[\-a]`, `[\x41-\x43]`, `[\n]`, `[^\n]`, `[^\D]`, `[\D\d]`, `[^\D\d]`,
	`[\w-]`, `[\w-z]`, `[a-\x{e9}]`, `[é-ü]`, `^[^a]$`, `^[^a\n]$`, `(?i)[k]`, `(?i)[^k]`, `(?i)^[^s]$`, `(?i)k`, `(?i)ſ`, `(?i)K`, `(?i)Σ`, `(?i)ς`, `(?i)ß`, `(?i)ẞ`, `(?i)İ`, `(?i)ı`, `(?i)i`,
	`(?i)É`, `(?i)straße`, `(?i)ǅ`, `(?i)[α-ω]`, `(?i)[A-z]`, `(?i)[^\x00-\x7f]`, `(?i)Abc`, `(?-i)A`, `(?i:a)b`, `(?i)a(?-i)b`, `((?i)a)b`, `a(?i)b|c`, `(?i)a|b`, `a|(?i)b|c`, `((?i)a|b)c`,
	`\pL`, `\PL`, `\p{L}`, `\p{^L}`, `\P{^L}`, `\pN`, `\p{Nd}`, `\p{Lu}`, `(?i)\p{Lu}`, `(?i)\P{Lu}`, `(?i)[^\p{Lu}]`, `\p{Greek}`, `\P{Greek}`, `\p{greek}`, `\p{GREEK}`, `\p{ Greek}`, `\p{Gre-ek}`,
	`\p{Letter}`, `\p{Uppercase_Letter}`, `\p{uppercase letter}`, `\p{UppercaseLetter}`, `\p{Any}`, `\p{any}`, `\p{ASCII}`, `\p{Assigned}`, `\P{Assigned}`, `\p{Cn}`, `\p{LC}`, `\p{lc}`, `\p{Cs}`, `\P{Cs}`,
	`\p{Latin}`, `\p{Latn}`, `\p{Han}`, `\p{Cyrillic}`, `\p{Arabic}`, `\p{Common}`, `\p{Inherited}`, `\p{Zinh}`, `\p{Alphabetic}`, `\p{Script=Greek}`, `\p{sc=Greek}`, `\p{gc=L}`, `\p{L&}`, `\p{IsGreek}`, `\p{InGreek}`, `\p{Age=6.0}`,
	`\p{cntrl}`, `\p{digit}`, `\p{punct}`, `\p{alpha}`, `\p`, `\pé`, `\p{`, `\p{}`, `\p{^}`, `\p{Nope}`, `[\pL\pN]`, `[^\pL\pN]`, `[\p{^L}]`, `[\P{^L}]`, `\pLu`, `\p{Zs}`, `\p{Sc}`, `\p{Co}`, `\p{Cf}`, `\p{Lt}`, `\p{So}`,
	`a*`, `a+`, `a?`, `a*?`, `a+?`, `a??`, `a**`, `a*+`, `a++`, `a?+`, `a*??`, `a+*`, `a{2}`, `a{2,}`, `a{2,3}`, `a{2,3}?`, `a{2}{3}`, `a{2}*`, `a*{2}`, `a{0}`, `a{0,0}`, `a{1}`, `a{,2}`, `a{2,1}`, `a{1000}`, `a{1001}`, `a{1000,}`,
	`a{1001,}`, `a{0,1001}`, `a{99999999999}`, `a{01}`, `a{1,01}`, `a{`, `a{2`, `a{2,`, `a{2,3`, `a{x}`, `a{-1}`, `a{ 2}`, `{`, `{2}`, `}`, `]`, `{}`, `a{}`, `x{2}y{3}`, `(a{10}){10}`, `(a{100}){10}`, `(a{100}){11}`, `((a{10}){10}){11}`,
	`(a{32}){32}`, `(a{1,100}){1,10}`, `(a{0,100}){0,11}`, `(a{100,}){11}`, `(a{1000}){1}`, `(a{1000})*`, `(a{1000}){0}`, `((a{1000}){0}){1000}`, `(a{1000}|b){2}`, `((a{0,}){1000}){2}`, `((a{1000}){0,1}){2}`,
	`*`, `+`, `?`, `*a`, `|*`, `a|*`, `(*)`, `(|*)`, `(?:*)`, `()*`, `(?:)*`, `(?:)+`, `^*`, `$*`, `\b*`, `\b+`, `^+a`, `(?i)*`, `a(?i)*`, `a*(?i)*`, `((?i)*)`, `(?i)+a`,
	`(`, `)`, `(a`, `a)`, `(a))`, `((a)`, `()`, `(?`, `(?:`, `(?:a`, `(?:a)`, `(?)`, `(?-)`, `(?i-)`, `(?-i)`, `(?i-i)a`, `(?i-s)a`, `(?--i)`, `(?-i-s)`, `(?ii)a`, `(?x)a`, `(?u)a`, `(?U)a+`, `(?R)a`, `(?imsU)a`, `(?i-msU:a)`,
	`(?P<n>a)`, `(?<n>a)`, `(?P<n>a)(?P<n>b)`, `(?<n>a)|(?<n>b)`, `(?P<1n>a)`, `(?P<n-m>a)`, `(?P<>a)`, `(?P<n>`, `(?P<n`, `(?P=n)`, `(?P>n)`, `(?'n'a)`, `(?<é>a)`, `(?P<n_1>a)`, `(?<n>)*`, `(?P`, `(?<`, `(?P<`,
	`(?=a)`, `(?!a)`, `(?<=a)`, `(?<!a)`, `(?>a)`, `(?#a)`, `(?|a)`, `(?&n)`, `(?1)`, `(a)\1`, `\g1`, `\k<n>`,
	`(?m)^a$`, `(?m)^`, `(?m)$`, `(?m)a$`, `(?m)^$`, `(?ms)^.+$`, `(?-m)^a$`, `(?s).`, `(?s)a.b`, `a.b`, `(?m:^a)$`, `(?s:.)\n`, `(?m)\Aa`, `(?m)a\z`, `\n$`, `(?m)\n$`,
	`^/api/v[0-9]+/`, `^(GET|POST)$`, `\.(js|css)$`, `health`, `(?i)^health(z|y)?$`, `^5\d\d$`, `.*`, `.+`, `^.*$`, `^$|^a`, `checkout-.*`, `[^/]+/[^/]+`, `^[a-z0-9._%+-]+@[a-z0-9.-]+\.[a-z]{2,}$`,
	"a\nb", "a#b", "# a", "a b", "\t", "é+", "日本", "[日-本]", "\U0001F600", "a\u0301", "\x00", "[\x00-\x1f]", "\ufffd", "[^a]\ufffd", "^.\ufffd.$",
}

var texts = []string{
	"", "a", "b", "ab", "abc", "aab", "aaa", "A", "B", "AB", "foo", "foo bar", "xfoo", "o", "9", "42", "_", "-", " ", "\t", "\n", "\v", "\f", "\r", "\x85", "\u0085", "\u00a0",
	"a\n", "\na", "a\nb", "a\n\nb", "a.b", "axb", "é", "É", "aéa", "é é", "٣", "ſ", "K", "k", "s", "S", "Σ", "σ", "ς", "ß", "ẞ", "ss", "İ", "ı", "i", "ǆ", "ǅ", "α", "Ω", "日本", "日", "\U0001F600",
	"\xff", "a\xffb", "\xe2\x82", "\xe2\x82a", "\xed\xa0\x80", "\ufffd", "a\ufffdb", "\xf4\x90\x80\x80", "\\", "[", "]", "^", "{", "}", "{2}", "a{,2}", "a{", "/api/v1/users", "GET", "GETS", "main.js", "healthz", "Healthy",
	"503", "5٣3", "user@example.com", "checkout-service", "a/b", "\x00", "\a", "aaaaaaaaaa", "&", "~", ":", "p", "A.b", "\u0378", "\ue000", "\u200b", "$", "€", "a\u0301",
}

func main() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	fmt.Fprintln(out, "# Written by go_regex.go.")
	for _, pattern := range patterns {
		line(out, pattern, texts)
	}
	random := rand.New(rand.NewSource(1))
	for range 4000 {
		var pattern strings.Builder
		grow(random, &pattern, 3)
		chosen := make([]string, 6)
		for i := range chosen {
			chosen[i] = text(random)
		}
		line(out, pattern.String(), chosen)
	}
}

func line(out *bufio.Writer, pattern string, texts []string) {
	compiled, err := regexp.Compile(pattern)
	fmt.Fprintf(out, "%s %d", coded(pattern), bit(err == nil))
	if err == nil {
		for _, text := range texts {
			fmt.Fprintf(out, " %s:%d", coded(text), bit(compiled.MatchString(text)))
		}
	}
	fmt.Fprintln(out)
}

// Something that is often a pattern.
func grow(random *rand.Rand, out *strings.Builder, depth int) {
	for range 1 + random.Intn(4) {
		switch {
		case depth > 0 && random.Intn(4) == 0:
			out.WriteString(pick(random, "(", "(?:", "(?i:", "(?m:", "(?s:", "(?P<n>"))
			grow(random, out, depth-1)
			out.WriteString(")")
		case random.Intn(3) == 0:
			out.WriteString(pick(random, "[a-c]", "[^a]", "[^\\d]", "[[:alpha:]_]", "[é-ü]", "[\\w.]", "[^\\W]", "[\\s\\S]", "[a\\-c]", "[[:^space:]x]", "[\\pL]"))
		default:
			out.WriteString(pick(random, "a", "b", "k", "é", ".", "^", "$", "\\b", "\\B", "\\d", "\\w", "\\W", "\\s", "\\A", "\\z", "|", "\\.", "\\pL", "\\PN", "(?i)", "(?m)", "(?s)", "(?-i)", "\\Qa.\\E", "\\n", "K"))
		}
		if random.Intn(3) == 0 {
			out.WriteString(pick(random, "*", "+", "?", "*?", "{2}", "{0,2}", "{1,}", "{0}"))
		}
	}
}

func text(random *rand.Rand) string {
	var out strings.Builder
	for range random.Intn(7) {
		out.WriteString(pick(random, "a", "a", "b", "c", "k", "K", "K", "é", "É", "ü", ".", "-", "1", "_", " ", "\n", "\xff", "\xe2\x82", "ſ", "日"))
	}
	return out.String()
}

func pick(random *rand.Rand, choices ...string) string {
	return choices[random.Intn(len(choices))]
}

func coded(text string) string {
	if text == "" {
		return "-"
	}
	return hex.EncodeToString([]byte(text))
}

func bit(yes bool) int {
	if yes {
		return 1
	}
	return 0
}
