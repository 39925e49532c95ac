/* snprintf: the part of C99's that Weir uses (see kernel/lib/string.h). Anything else in a format is
 * copied as it stands. */
#include <kernel/lib/compiler.h>
#include <kernel/lib/string.h>
#include <stdarg.h>

struct out {
	char *buf;
	size_t size, len;
};

struct spec {
	bool left, zero, plus, space, alt;
	int width, precision; /* precision < 0: not given */
};

static void put(struct out *o, char c)
{
	if (o->len + 1 < o->size)
		o->buf[o->len] = c;
	o->len++;
}

static void pad(struct out *o, char c, int n)
{
	while (n-- > 0)
		put(o, c);
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
		put(o, text[i]);
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
		put(o, *sign++);
	pad(o, '0', zeros);
	while (n)
		put(o, text[--n]);
	if (s->left)
		pad(o, ' ', s->width - total);
}

static int number(const char **fmt)
{
	int n = 0;

	while (**fmt >= '0' && **fmt <= '9' && n < 10000)
		n = n * 10 + *(*fmt)++ - '0';
	return n;
}

int vsnprintf(char *buf, size_t size, const char *fmt, va_list ap)
{
	struct out o = { buf, size, 0 };

	while (*fmt) {
		struct spec s = { .precision = -1 };
		const char *start = fmt;
		int longs = 0;
		u64 value;

		if (*fmt != '%') {
			put(&o, *fmt++);
			continue;
		}
		for (fmt++;; fmt++) {
			if (*fmt == '-')
				s.left = true;
			else if (*fmt == '0')
				s.zero = true;
			else if (*fmt == '+')
				s.plus = true;
			else if (*fmt == ' ')
				s.space = true;
			else if (*fmt == '#')
				s.alt = true;
			else
				break;
		}
		if (*fmt == '*') {
			s.width = va_arg(ap, int);
			if (s.width < 0) {
				s.left = true;
				s.width = -s.width;
			}
			fmt++;
		} else {
			s.width = number(&fmt);
		}
		if (*fmt == '.') {
			fmt++;
			if (*fmt == '*') {
				s.precision = va_arg(ap, int);
				fmt++;
			} else {
				s.precision = number(&fmt);
			}
		}
		for (; *fmt == 'l' || *fmt == 'z' || *fmt == 'h'; fmt++)
			longs += *fmt == 'h' ? -1 : *fmt == 'z' ? 2 : 1;

		switch (*fmt) {
		case 'd':
		case 'i': {
			s64 v = longs > 0 ? va_arg(ap, long) : va_arg(ap, int);

			if (longs == -1)
				v = (s16)v;
			else if (longs < -1)
				v = (s8)v;
			put_number(&o, &s, v < 0 ? -(u64)v : (u64)v, 10, false,
				   v < 0   ? "-" :
				   s.plus  ? "+" :
				   s.space ? " " :
					     "");
			break;
		}
		case 'u':
		case 'x':
		case 'X':
			value = longs > 0 ? va_arg(ap, unsigned long) : va_arg(ap, unsigned int);
			if (longs == -1)
				value = (u16)value;
			else if (longs < -1)
				value = (u8)value;
			put_number(&o, &s, value, *fmt == 'u' ? 10 : 16, *fmt == 'X',
				   !s.alt || !value || *fmt == 'u' ? "" :
				   *fmt == 'X'			   ? "0X" :
								     "0x");
			break;
		case 'p':
			value = (u64)va_arg(ap, void *);
			put_number(&o, &s, value, 16, false, "0x");
			break;
		case 's':
			put_string(&o, &s, va_arg(ap, const char *));
			break;
		case 'c': {
			char c[2] = { (char)va_arg(ap, int), 0 };

			s.precision = 1;
			if (c[0]) {
				put_string(&o, &s, c);
			} else {
				pad(&o, ' ', s.left ? 0 : s.width - 1);
				put(&o, 0);
				pad(&o, ' ', s.left ? s.width - 1 : 0);
			}
			break;
		}
		case '%':
			put(&o, '%');
			break;
		default:
			while (start < fmt)
				put(&o, *start++);
			continue;
		}
		fmt++;
	}
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
