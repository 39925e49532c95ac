/* snprintf(): the part of C99's that Weir uses (see kernel/lib/string.h). Anything else in a format
 * is copied as it is. */
#include <stdarg.h>
#include <kernel/lib/compiler.h>
#include <kernel/lib/string.h>

struct out {
	char *buf;
	size_t size, len;
};

struct spec {
	bool left, zero, plus, space, alt;
	int width, precision; /* precision < 0: not given */
	int longs; /* > 0: long; -1: short; < -1: char */
};

static void put_char(struct out *o, char c)
{
	if (o->len + 1 < o->size)
		o->buf[o->len] = c;
	o->len++;
}

static void pad(struct out *o, char c, int n)
{
	while (n-- > 0)
		put_char(o, c);
}

static void put_string(struct out *o, const struct spec *s, const char *text)
{
	size_t max = s->precision < 0 ? ~0UL : (size_t)s->precision;
	int n;

	if (!text)
		text = "(null)";
	n = (int)strnlen(text, max);
	if (!s->left)
		pad(o, ' ', s->width - n);
	for (int i = 0; i < n; i++)
		put_char(o, text[i]);
	if (s->left)
		pad(o, ' ', s->width - n);
}

static void put_number(struct out *o, const struct spec *s, u64 value, unsigned int base,
		       bool upper, const char *sign)
{
	const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char text[24];
	int n = 0, zeros, total;

	while (value) {
		text[n++] = digits[value % base];
		value /= base;
	}
	zeros = s->precision < 0 ? (n ? 0 : 1) : s->precision - n;
	if (zeros < 0)
		zeros = 0;
	total = (int)strlen(sign) + zeros + n;
	if (s->zero && !s->left && s->precision < 0 && s->width > total) {
		zeros += s->width - total;
		total = s->width;
	}
	if (!s->left)
		pad(o, ' ', s->width - total);
	while (*sign)
		put_char(o, *sign++);
	pad(o, '0', zeros);
	while (n)
		put_char(o, text[--n]);
	if (s->left)
		pad(o, ' ', s->width - total);
}

static int read_number(const char **fmt)
{
	int n = 0;

	while (**fmt >= '0' && **fmt <= '9' && n < 10000)
		n = n * 10 + *(*fmt)++ - '0';
	return n;
}

/* A va_list in a structure, so that functions can take it by pointer. */
struct args {
	va_list list;
};

static void read_flags(const char **fmt, struct spec *s)
{
	for (;; (*fmt)++) {
		if (**fmt == '-')
			s->left = true;
		else if (**fmt == '0')
			s->zero = true;
		else if (**fmt == '+')
			s->plus = true;
		else if (**fmt == ' ')
			s->space = true;
		else if (**fmt == '#')
			s->alt = true;
		else
			return;
	}
}

static int read_number_or_argument(const char **fmt, struct args *a)
{
	if (**fmt != '*')
		return read_number(fmt);
	(*fmt)++;
	return va_arg(a->list, int);
}

/* What is between a '%' and its conversion. */
static struct spec read_spec(const char **fmt, struct args *a)
{
	struct spec s = { .precision = -1 };

	read_flags(fmt, &s);
	s.width = read_number_or_argument(fmt, a);
	if (s.width < 0) {
		s.left = true;
		s.width = -s.width;
	}
	if (**fmt == '.') {
		(*fmt)++;
		s.precision = read_number_or_argument(fmt, a);
	}
	for (; **fmt == 'l' || **fmt == 'z' || **fmt == 'h'; (*fmt)++)
		s.longs += **fmt == 'h' ? -1 : **fmt == 'z' ? 2 : 1;
	return s;
}

static void put_signed(struct out *o, const struct spec *s, struct args *a)
{
	s64 v = s->longs > 0 ? va_arg(a->list, long) : va_arg(a->list, int);

	if (s->longs == -1)
		v = (s16)v;
	else if (s->longs < -1)
		v = (s8)v;
	put_number(o, s, v < 0 ? -(u64)v : (u64)v, 10, false,
		   v < 0    ? "-" :
		   s->plus  ? "+" :
		   s->space ? " " :
			      "");
}

static void put_unsigned(struct out *o, const struct spec *s, struct args *a, char conversion)
{
	u64 v = s->longs > 0 ? va_arg(a->list, unsigned long) : va_arg(a->list, unsigned int);
	const char *prefix = "";

	if (s->longs == -1)
		v = (u16)v;
	else if (s->longs < -1)
		v = (u8)v;
	if (s->alt && v && conversion != 'u')
		prefix = conversion == 'X' ? "0X" : "0x";
	put_number(o, s, v, conversion == 'u' ? 10 : 16, conversion == 'X', prefix);
}

static void put_padded_char(struct out *o, const struct spec *s, char c)
{
	if (!s->left)
		pad(o, ' ', s->width - 1);
	put_char(o, c);
	if (s->left)
		pad(o, ' ', s->width - 1);
}

/* False: there is no such conversion. */
static bool put_conversion(struct out *o, const struct spec *s, struct args *a, char conversion)
{
	switch (conversion) {
	case 'd':
	case 'i':
		put_signed(o, s, a);
		return true;
	case 'u':
	case 'x':
	case 'X':
		put_unsigned(o, s, a, conversion);
		return true;
	case 'p':
		put_number(o, s, (u64)va_arg(a->list, void *), 16, false, "0x");
		return true;
	case 's':
		put_string(o, s, va_arg(a->list, const char *));
		return true;
	case 'c':
		put_padded_char(o, s, (char)va_arg(a->list, int));
		return true;
	case '%':
		put_char(o, '%');
		return true;
	}
	return false;
}

int vsnprintf(char *buf, size_t size, const char *fmt, va_list ap)
{
	struct out o = { buf, size, 0 };
	struct args a;

	va_copy(a.list, ap);
	while (*fmt) {
		const char *start = fmt;
		struct spec s;

		if (*fmt != '%') {
			put_char(&o, *fmt++);
			continue;
		}
		fmt++;
		s = read_spec(&fmt, &a);
		if (put_conversion(&o, &s, &a, *fmt))
			fmt++;
		else
			while (start < fmt)
				put_char(&o, *start++);
	}
	va_end(a.list);
	if (size)
		buf[MIN(o.len, size - 1)] = 0;
	return (int)o.len;
}

int snprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, size, fmt, ap);
	va_end(ap);
	return n;
}
