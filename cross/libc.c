/* Parts of the C library as small as what is asked of them here, in place of its own: which is 14 KB
 * on MIPS for the four texts that crypt(3) has sprintf(3) make, since they could hold floating point,
 * and 10 KB for passwords hashed by DES, of which the launcher takes none. */

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Knows %s, %.*s, %u and %d, and ends the program at anything else. */
int vsnprintf(char *restrict out, size_t size, const char *restrict format, va_list args) {
  size_t length = 0;
  for (; *format; format++) {
    const char *text = format;
    size_t most = 1;
    char digits[12];
    if (*format == '%') {
      most = (size_t)-1;
      if (format[1] == '.' && format[2] == '*') {
        most = va_arg(args, int);
        format += 2;
      }
      switch (*++format) {
        case 's':
          text = va_arg(args, const char *);
          break;
        case 'd':
        case 'u': {
          unsigned number = va_arg(args, unsigned);
          int negative = *format == 'd' && (int)number < 0;
          char *digit = digits + sizeof digits;
          if (negative) number = -number;
          *--digit = 0;
          do *--digit = '0' + number % 10;
          while (number /= 10);
          if (negative) *--digit = '-';
          text = digit;
          break;
        }
        default:
          abort();
      }
    }
    for (; most && *text; most--, text++, length++)
      if (length + 1 < size) out[length] = *text;
  }
  if (size) out[length < size ? length : size - 1] = 0;
  return length;
}

int snprintf(char *restrict out, size_t size, const char *restrict format, ...) {
  va_list args;
  va_start(args, format);
  int length = vsnprintf(out, size, format, args);
  va_end(args);
  return length;
}

int sprintf(char *restrict out, const char *restrict format, ...) {
  va_list args;
  va_start(args, format);
  int length = vsnprintf(out, (size_t)-1, format, args);
  va_end(args);
  return length;
}

/* Those of musl. */
char *__crypt_md5(const char *key, const char *setting, char *out);
char *__crypt_blowfish(const char *key, const char *setting, char *out);
char *__crypt_sha256(const char *key, const char *setting, char *out);
char *__crypt_sha512(const char *key, const char *setting, char *out);

/* Knows all methods whose hashes begin with a dollar sign. */
char *crypt(const char *key, const char *setting) {
  static char out[128];
  if (setting[0] == '$' && setting[1] && setting[2]) {
    if (setting[1] == '1' && setting[2] == '$') return __crypt_md5(key, setting, out);
    if (setting[1] == '2' && setting[3] == '$') return __crypt_blowfish(key, setting, out);
    if (setting[1] == '5' && setting[2] == '$') return __crypt_sha256(key, setting, out);
    if (setting[1] == '6' && setting[2] == '$') return __crypt_sha512(key, setting, out);
  }
  strcpy(out, "*");
  return out;
}
