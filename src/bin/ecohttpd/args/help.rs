//! The help that is printed.

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Usage: ecohttpd -p [ADDR:]PORT [-s [ADDR:]PORT -C CERT -K KEY] [OPTION]...

An HTTP/1.1 and HTTPS server for routers. Its options are those of uhttpd.

Where to listen; addresses can be repeated:
  -p, --listen-http ADDRESS   serve HTTP at [ADDR:]PORT, unix:PATH or fd:N
                              PORT alone is every IPv4 and IPv6 address
  -s, --listen-https ADDRESS  likewise, HTTPS
  -C, --cert FILE             the certificate for HTTPS, in PEM or DER
  -K, --key FILE              its key, in PEM or DER
  -P, --ciphers LIST          only these cipher suites, between colons
  -q, --redirect-https        send HTTP clients to HTTPS
      --redirect-status CODE  with 301, 302, 307 or 308 (default: 307)
  -Q, --redirect-host H=URL   send HTTPS clients that ask for the host H to URL
  -A, --tcp-keepalive SECS    probe silent connections every SECS seconds

What to serve:
  -h, --home DIR              the files in DIR (default: the current directory)
  -I, --index-page NAME       the index file of a directory; can be repeated
  -E, --error-page PATH       the page for what is missing or forbidden
  -S, --no-symlinks           no file that a symbolic link leads to outside DIR
  -D, --no-dirlists           no listings of directories
  -b, --charset NAME          the charset of listings (default: UTF-8)
  -H, --json-script FILE      rules that rewrite and redirect; can be repeated
  -z, --header 'NAME: VALUE'  a field of every response; can be repeated
      --gzip                  inflate files that are there only as .gz, and
                              deflate what compresses
      --file-cache BYTES      of small files that are kept for a second or two
                              (default: 32768)

Scripts:
  -x, --cgi-prefix PATH       run what is below PATH (default: /cgi-bin)
  -i, --interpreter .EXT=FILE run what ends in .EXT by FILE; can be repeated
  -y, --alias PATH[=TO]       serve PATH from below TO, or from the CGI prefix
  -t, --script-timeout SECS   for which a script may be silent (default: 60)
  -n, --max-requests N        scripts that run at once (default: 3)
      --spool-limit BYTES     of a chunked body, whose length a script has to be
                              told; 0 refuses them (default: 1048576)

Who may:
  -c, --config FILE           passwords, in the format of busybox's httpd.conf
                              (default: /etc/httpd.conf, if it is there)
  -r, --realm TEXT            what passwords are asked for
  -R, --rfc1918-filter        no requests from private to public addresses
  -N, --max-connections N     connections at once (default: 100)
  -T, --network-timeout SECS  for which a client may be silent (default: 30)
  -k, --http-keepalive SECS   for which a connection may idle (default: 20)
  -Z, --user NAME             become NAME once the addresses are bound

How to run:
  -f, --foreground            stay in the foreground
      --options FILE          more options, one in each line of FILE
      --access-log TO         a line per request to stderr, syslog or a file
      --log-format FORMAT     common or combined (default: common)
      --check                 say what is wrong with all of this, and end
  -d, --url-decode TEXT       print TEXT, percent-decoded, and end
  -m, --md5 TEXT              print TEXT as a password for -c, and end
      --self-signed NAMES     make a certificate for NAMES, between commas,
                              as the files of -C and -K, and end
      --days N                for which it is valid (default: 397)
      --help                  print this
      --version               print the version

Taken for uhttpd's sake, with a message that says what they do here:
  -l, --lua-prefix PATH       -L, --lua-handler FILE
  -o, --ucode-prefix PATH     -O, --ucode-handler FILE
  -u, --ubus-prefix PATH      -U, --ubus-socket FILE
  -a, --no-ubusauth           -X, --ubus-cors
  -e, --events-retry SECS
";
