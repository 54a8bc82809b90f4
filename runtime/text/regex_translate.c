/* Where Ruby syntax and PCRE2 differ, and what becomes of it here:
 *   \s             White_Space exactly (PCRE2 adds U+180E)          -> ranges
 *   \w, \b         Alphabetic, M, Nd, Pc (PCRE2: L, N, underscore)   -> properties, look-around
 *   \h, \v         hexadecimal digit, U+000B (PCRE2: space classes)  -> ranges
 *   \uHHHH         a code point                                      -> \x{HHHH}
 *   {,n}           {0,n} (older PCRE2: literal)                      -> {0,n}
 *   \p{Han}        the script property (PCRE2: script extensions)    -> \p{sc:Han}
 *   (...)          captures, of no use here                          -> (?:...)
 *   X{n,m}+ X{n}?  quantifiers of their own (PCRE2: possessive, lazy) -> (?:X{n,m})+ (?:X{n})?
 *   (?m) a(?i)b [[..]] [a&&b] \1 (*x) and what else is not listed: refused. */
#include <string.h>

#include "base/error.h"
#include "text/regex.h"

#define SPACE_RANGES                                                                                         \
    "\\x{9}-\\x{D}\\x{20}\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{" \
    "3000}"
#define NOT_SPACE_RANGES                                                                            \
    "\\x{0}-\\x{8}\\x{E}-\\x{1F}\\x{21}-\\x{84}\\x{86}-\\x{9F}\\x{A1}-\\x{167F}\\x{1681}-\\x{1FFF}" \
    "\\x{200B}-\\x{2027}\\x{202A}-\\x{202E}\\x{2030}-\\x{205E}\\x{2060}-\\x{2FFF}\\x{3001}-\\x{10FFFF}"
#define WORD_PROPERTIES "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
/* Oniguruma counts the superscripts and fractions of Latin-1 among them, but not within a class. */
#define WORD       "[" WORD_PROPERTIES "\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}]"
#define NOT_WORD   "[^" WORD_PROPERTIES "\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}]"
#define HEX_RANGES "0-9A-Fa-f"

#define MAX_NESTING 64

typedef struct reader {
    const char *s;
    size_t n, i;
    size_t groups[MAX_NESTING]; /* where open groups start in out */
    size_t n_groups;
    size_t atom; /* where what a quantifier would repeat starts in out */
    text_bytes *out;
    vkdlm_error *err;
} reader;

static vkdlm_status out_of_memory(const reader *r)
{
    return error_set(r->err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for a regular expression");
}

static vkdlm_status emit_bytes(reader *r, const char *s, size_t n)
{
    return text_bytes_append(r->out, s, n) ? VKDLM_OK : out_of_memory(r);
}

static vkdlm_status emit(reader *r, const char *s)
{
    return emit_bytes(r, s, strlen(s));
}

/* True, and skipped, when the pattern goes on with s. */
static bool accept(reader *r, const char *s)
{
    size_t n = strlen(s);
    if (r->n - r->i < n || memcmp(r->s + r->i, s, n) != 0)
        return false;
    r->i += n;
    return true;
}

static vkdlm_status unsupported(const reader *r, size_t from, const char *what)
{
    size_t n = r->n - from < 16 ? r->n - from : 16;
    return error_set(r->err, VKDLM_UNSUPPORTED,
                     "regular expression: %s at byte %zu ('%.*s') is not supported", what, from, (int)n,
                     r->s + from);
}

static vkdlm_status malformed(const reader *r, size_t from, const char *what)
{
    return error_set(r->err, VKDLM_MALFORMED, "regular expression: %s at byte %zu", what, from);
}

/* Names of general categories, lower case without separators. */
static const char categories[][3] = {
    "C",  "Cc", "Cf", "Cn", "Co", "Cs", "L",  "Ll", "Lm", "Lo", "Lt", "Lu", "M",
    "Mc", "Me", "Mn", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd", "Pe", "Pf", "Pi",
    "Po", "Ps", "S",  "Sc", "Sk", "Sm", "So", "Z",  "Zl", "Zp", "Zs",
};

/* Long names and properties that are no scripts. */
static const char *const properties[][2] = {
    {"letter", "L"},
    {"lowercaseletter", "Ll"},
    {"uppercaseletter", "Lu"},
    {"titlecaseletter", "Lt"},
    {"modifierletter", "Lm"},
    {"otherletter", "Lo"},
    {"mark", "M"},
    {"nonspacingmark", "Mn"},
    {"spacingmark", "Mc"},
    {"enclosingmark", "Me"},
    {"number", "N"},
    {"decimalnumber", "Nd"},
    {"letternumber", "Nl"},
    {"othernumber", "No"},
    {"punctuation", "P"},
    {"connectorpunctuation", "Pc"},
    {"dashpunctuation", "Pd"},
    {"openpunctuation", "Ps"},
    {"closepunctuation", "Pe"},
    {"initialpunctuation", "Pi"},
    {"finalpunctuation", "Pf"},
    {"otherpunctuation", "Po"},
    {"symbol", "S"},
    {"mathsymbol", "Sm"},
    {"currencysymbol", "Sc"},
    {"modifiersymbol", "Sk"},
    {"othersymbol", "So"},
    {"separator", "Z"},
    {"spaceseparator", "Zs"},
    {"lineseparator", "Zl"},
    {"paragraphseparator", "Zp"},
    {"other", "C"},
    {"control", "Cc"},
    {"format", "Cf"},
    {"unassigned", "Cn"},
    {"privateuse", "Co"},
    {"any", "Any"},
    {"digit", "Nd"},
    {"alphabetic", "Alphabetic"},
    {"alpha", "Alphabetic"},
    {"lowercase", "Lowercase"},
    {"lower", "Lowercase"},
    {"uppercase", "Uppercase"},
    {"upper", "Uppercase"},
    {"whitespace", "White_Space"},
    {"space", "White_Space"},
    {"emoji", "Emoji"},
    {"ideographic", "Ideographic"},
};

/* PCRE2's name of a property given in lower case, NULL for what is probably a script. */
static const char *property_name(const char *name)
{
    for (size_t i = 0; i < sizeof categories / sizeof *categories; i++)
        if ((name[0] ^ categories[i][0]) == 0x20 && strcmp(name + 1, categories[i] + 1) == 0)
            return categories[i];
    for (size_t i = 0; i < sizeof properties / sizeof *properties; i++)
        if (strcmp(name, properties[i][0]) == 0)
            return properties[i][1];
    return NULL;
}

/* \p{Name}, \p{^Name}, \P{Name}; the reader is behind the p. */
static vkdlm_status translate_property(reader *r, bool negated)
{
    size_t from = r->i - 2;
    char name[32];
    size_t size = 0;
    if (!accept(r, "{"))
        return unsupported(r, from, "a property without braces");
    if (accept(r, "^"))
        negated = !negated;
    while (r->i < r->n && r->s[r->i] != '}' && size + 1 < sizeof name) {
        char c = r->s[r->i++];
        if (c == ' ' || c == '-' || c == '_')
            continue;
        bool upper = c >= 'A' && c <= 'Z';
        if (!upper && !(c >= 'a' && c <= 'z'))
            return unsupported(r, from, "a property");
        name[size++] = upper ? (char)(c | 0x20) : c;
    }
    name[size] = 0;
    if (!accept(r, "}") || size == 0)
        return unsupported(r, from, "a property");
    const char *known = property_name(name);
    vkdlm_status status = emit(r, negated ? "\\P{" : "\\p{");
    if (!status && !known)
        status = emit(r, "sc:");
    if (!status)
        status = emit(r, known ? known : name);
    return status ? status : emit(r, "}");
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A code point of min to max hexadecimal digits, written as \x{...}. */
static vkdlm_status translate_hex(reader *r, size_t from, size_t min, size_t max, bool braces)
{
    uint32_t cp = 0;
    size_t start = r->i;
    while (r->i < r->n && r->i - start < max && hex_digit(r->s[r->i]) >= 0)
        cp = cp << 4 | (uint32_t)hex_digit(r->s[r->i++]);
    if (r->i - start < min || (braces && !accept(r, "}")))
        return malformed(r, from, "a bad hexadecimal escape");
    if (!braces && max == 2 && cp > 0x7F)
        return unsupported(r, from, "a byte that is no character");
    static const char digits[] = "0123456789ABCDEF";
    char text[16] = "\\x{";
    size_t size = 3;
    for (int shift = 28; shift >= 0; shift -= 4)
        text[size++] = digits[cp >> shift & 15];
    text[size++] = '}';
    return emit_bytes(r, text, size);
}

/* What an escaped letter becomes outside and inside a character class; NULL where it is refused. */
static const struct {
    char letter;
    const char *outside, *inside;
} escapes[] = {
    {'s', "[" SPACE_RANGES "]", SPACE_RANGES},
    {'S', "[^" SPACE_RANGES "]", NOT_SPACE_RANGES},
    {'d', "\\p{Nd}", "\\p{Nd}"},
    {'D', "\\P{Nd}", "\\P{Nd}"},
    {'w', WORD, WORD_PROPERTIES},
    {'W', NOT_WORD, NULL},
    {'h', "[" HEX_RANGES "]", HEX_RANGES},
    {'H', "[^" HEX_RANGES "]", NULL},
    {'b', "(?:(?<=" WORD ")(?!" WORD ")|(?<!" WORD ")(?=" WORD "))", "\\x{8}"},
    {'B', "(?:(?<=" WORD ")(?=" WORD ")|(?<!" WORD ")(?!" WORD "))", NULL},
    {'A', "\\A", NULL},
    {'z', "\\z", NULL},
    {'Z', "\\Z", NULL},
    {'R', "\\R", NULL},
    {'r', "\\r", "\\r"},
    {'n', "\\n", "\\n"},
    {'t', "\\t", "\\t"},
    {'f', "\\f", "\\f"},
    {'a', "\\a", "\\a"},
    {'e', "\\e", "\\e"},
    {'v', "\\x{B}", "\\x{B}"},
};

/* An escape; the reader is behind the backslash. */
static vkdlm_status translate_escape(reader *r, bool in_class)
{
    size_t from = r->i - 1;
    if (r->i == r->n)
        return malformed(r, from, "a lone backslash");
    char c = r->s[r->i++];
    if (c == 'p' || c == 'P')
        return translate_property(r, c == 'P');
    if (c == 'x' && accept(r, "{"))
        return translate_hex(r, from, 1, 8, true);
    if (c == 'x')
        return translate_hex(r, from, 1, 2, false);
    if (c == 'u')
        return translate_hex(r, from, 4, 4, false);
    for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++) {
        const char *text = in_class ? escapes[i].inside : escapes[i].outside;
        if (escapes[i].letter == c && text)
            return emit(r, text);
    }
    bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
    if (letter || (c >= '0' && c <= '9'))
        return unsupported(r, from, "an escape");
    char text[2] = {'\\', c};
    return (unsigned char)c < 0x80 ? emit_bytes(r, text, 2) : emit_bytes(r, &c, 1);
}

/* A character class; the reader is behind the bracket. */
static vkdlm_status translate_class(reader *r)
{
    size_t from = r->i - 1;
    vkdlm_status status = emit(r, "[");
    if (!status && accept(r, "^"))
        status = emit(r, "^");
    for (bool first = true; !status; first = false) {
        if (r->i == r->n)
            return malformed(r, from, "a character class that does not end");
        size_t at = r->i;
        char c = r->s[r->i++];
        if (c == ']' && first)
            return unsupported(r, at, "a class that starts with a bracket");
        if (c == ']')
            return emit(r, "]");
        if (c == '[')
            return unsupported(r, at, "a class within a class");
        if (c == '&' && accept(r, "&"))
            return unsupported(r, at, "an intersection of classes");
        status = c == '\\' ? translate_escape(r, true) : emit_bytes(r, &c, 1);
    }
    return status;
}

/* A group's opening; the reader is behind the parenthesis. Flags for the rest of an alternative bind
 * differently in Ruby and Perl, so they are taken at the very start only. */
static vkdlm_status translate_group(reader *r)
{
    static const char *const openings[] = {"?:", "?=", "?!", "?<=", "?<!", "?>", "?i:", "?-i:"};
    size_t from = r->i - 1;
    if (from == 0 && accept(r, "?i)")) {
        r->n_groups = 0;
        return emit(r, "(?i)");
    }
    for (size_t i = 0; i < sizeof openings / sizeof *openings; i++)
        if (accept(r, openings[i])) {
            vkdlm_status status = emit(r, "(");
            return status ? status : emit(r, openings[i]);
        }
    if (r->i < r->n && (r->s[r->i] == '?' || r->s[r->i] == '*'))
        return unsupported(r, from, "a group");
    return emit(r, "(?:");
}

/* Digits of a repeat count, none or up to five. */
static size_t count_digits(const reader *r, size_t i)
{
    size_t start = i;
    while (i < r->n && i - start < 6 && r->s[i] >= '0' && r->s[i] <= '9')
        i++;
    return i - start;
}

/* Puts the last atom, with the interval behind it, into a group that takes the quantifier to come. */
static vkdlm_status wrap_atom(reader *r)
{
    vkdlm_status status = emit(r, "(?:)");
    if (status)
        return status;
    char *atom = r->out->data + r->atom;
    memmove(atom + 3, atom, r->out->size - r->atom - 4);
    memcpy(atom, "(?:", 3);
    r->out->data[r->out->size - 1] = ')';
    return VKDLM_OK;
}

/* {n} {n,} {,m} {n,m}, or a brace that stands for itself; the reader is behind the brace. */
static vkdlm_status translate_interval(reader *r)
{
    size_t n_low = count_digits(r, r->i);
    size_t i = r->i + n_low;
    bool comma = i < r->n && r->s[i] == ',';
    i += comma;
    size_t n_high = comma ? count_digits(r, i) : 0;
    i += n_high;
    if (i >= r->n || r->s[i] != '}' || n_low + n_high == 0) {
        r->atom = r->out->size;
        return emit(r, "\\{");
    }
    char next = i + 1 < r->n ? r->s[i + 1] : 0;
    vkdlm_status status = emit(r, n_low ? "{" : "{0");
    if (!status)
        status = emit_bytes(r, r->s + r->i, i + 1 - r->i);
    r->i = i + 1;
    if (!status && (next == '+' || (next == '?' && !comma)))
        status = wrap_atom(r);
    return status;
}

/* One element of the pattern, whose first byte c was read. */
static vkdlm_status translate_element(reader *r, char c)
{
    size_t start = r->out->size;
    switch (c) {
    case '\\':
        r->atom = start;
        return translate_escape(r, false);
    case '[':
        r->atom = start;
        return translate_class(r);
    case '(':
        if (r->n_groups == MAX_NESTING)
            return unsupported(r, r->i - 1, "deep nesting");
        r->groups[r->n_groups++] = start;
        return translate_group(r);
    case ')':
        r->atom = r->n_groups ? r->groups[--r->n_groups] : start;
        break;
    case '{':
        return translate_interval(r);
    case '*':
    case '+':
    case '?':
        break;
    default:
        /* The later bytes of a character belong to its first. */
        if (((unsigned char)c & 0xC0) != 0x80)
            r->atom = start;
    }
    return emit_bytes(r, &c, 1);
}

vkdlm_status regex_translate(const char *pattern, size_t n, text_bytes *out, vkdlm_error *err)
{
    reader r = {.s = pattern, .n = n, .out = out, .err = err};
    if (n > REGEX_MAX_PATTERN)
        return error_set(err, VKDLM_UNSUPPORTED,
                         "regular expression: a pattern of %zu bytes is not supported, at most %d", n,
                         REGEX_MAX_PATTERN);
    vkdlm_status status = VKDLM_OK;
    while (r.i < n && !status)
        status = translate_element(&r, pattern[r.i++]);
    return status;
}
