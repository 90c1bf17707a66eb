"""The servers that are compared, each with the same docroot, certificate and limits, and without a log.

A server has a kind of work: `plain` or `tls` for files, `crowd` for files with room for 10,000 connections,
`cgi` for scripts, `upload` for a form of 256 MiB.
"""

import os
import re
import shlex
import subprocess

from processes import Failure, Process, free_port

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
OUT = os.path.join(ROOT, 'target/bench')
CERT, KEY = os.path.join(ROOT, 'tests/pki/localhost.pem'), os.path.join(ROOT, 'tests/pki/localhost.key')
STATIC = os.path.join(ROOT, 'target/cross/bin/x86_64-unknown-linux-musl/ecohttpd')
STATIC_MINI = f'{STATIC}-mini'
MIPSEL = os.path.join(ROOT, 'target/cross/bin/mipsel-unknown-linux-musl/ecohttpd')
# Connections that a server has room for.
ROOM, CROWD = 2000, 12000
# What a script that waits says before it does.
SCRIPT_WAITS = 'waiting'
# What turns the cache of small files off, where the launcher has one.
CACHE_OFF = ['--file-cache', '0']


class Server:
    """A way to start a server for a kind of work."""

    def __init__(self, name, commands):
        self.name, self.commands = name, commands

    def can(self, kind):
        return kind in self.commands or (kind == 'crowd' and 'plain' in self.commands)

    def argv(self, kind, port):
        return self.commands[kind if kind in self.commands else 'plain'](port)

    def without(self, kind):
        del self.commands[kind]
        return self

    def start(self, kind):
        port = free_port()
        log = os.path.join(OUT, f'{self.name}.{kind}.log')
        return Process(self.name, self.argv(kind, port), port, log)


def www():
    return os.path.join(OUT, 'www')


def ours(name, binary, extra=()):
    def launcher(*more, room=ROOM):
        return [binary, '-f', '-h', www(), '-N', str(room), '-n', str(room), '-k', '600', '-T', '600', *extra, *more]

    return Server(name, {
        'plain': lambda port: launcher('-p', f'127.0.0.1:{port}'),
        'crowd': lambda port: launcher('-p', f'127.0.0.1:{port}', room=CROWD),
        'tls': lambda port: launcher('-s', f'127.0.0.1:{port}', '-C', CERT, '-K', KEY),
        'cgi': lambda port: launcher('-p', f'127.0.0.1:{port}'),
        'upload': lambda port: [os.path.join(ROOT, 'target/release/examples/formdata'), str(port)],
    })


def room(kind):
    return CROWD if kind == 'crowd' else ROOM


def has_option(binary, option):
    text = subprocess.run([binary, '--help'], capture_output=True, text=True, check=True).stdout
    return re.search(rf'{option}\b', text) is not None


def write(name, text):
    path = os.path.join(OUT, name)
    with open(path, 'w') as f:
        f.write(text)
    return path


def lighttpd_command(conf):
    return ['/usr/sbin/lighttpd', '-D', '-f', conf]


def lighttpd(kind, port):
    modules = {'tls': ['mod_openssl'], 'cgi': ['mod_cgi'], 'upload': ['mod_cgi']}.get(kind, [])
    text = f'''server.document-root = "{www()}"
server.port = {port}
server.bind = "127.0.0.1"
server.modules = ({", ".join(f'"{m}"' for m in modules)})
server.max-keep-alive-requests = 100000000
server.max-keep-alive-idle = 600
server.max-read-idle = 600
server.max-fds = {2 * room(kind)}
server.max-connections = {room(kind)}
server.upload-dirs = ("{OUT}")
mimetype.assign = (".txt" => "text/plain", "" => "application/octet-stream")
'''
    if kind == 'tls':
        text += f'ssl.engine = "enable"\nssl.pemfile = "{CERT}"\nssl.privkey = "{KEY}"\n'
    if 'mod_cgi' in modules:
        text += '$HTTP["url"] =~ "^/cgi-bin/" { cgi.assign = ("" => "") }\n'
    return lighttpd_command(write(f'lighttpd-{kind}.conf', text))


def lighttpd_of_debian(port):
    """The configuration of Debian's package, but for where it listens, what it serves and as whom."""
    with open('/etc/lighttpd/lighttpd.conf') as f:
        text = f.read()
    for name in ('username', 'groupname', 'pid-file', 'errorlog', 'upload-dirs'):
        text = re.sub(rf'(?m)^server\.{name}\s.*$', '', text)
    text = re.sub(r'(?m)^include_shell.*use-ipv6.*$', '', text)
    text = re.sub(r'(?m)^(server\.document-root\s*=).*$', rf'\1 "{www()}"', text)
    text = re.sub(r'(?m)^(server\.port\s*=).*$', rf'\1 {port}', text)
    return lighttpd_command(write('lighttpd-debian.conf', text + '\nserver.bind = "127.0.0.1"\n'))


def nginx(kind, port):
    tls = kind == 'tls'
    pki = f'ssl_certificate {CERT}; ssl_certificate_key {KEY}; ssl_protocols TLSv1.2 TLSv1.3;' if tls else ''
    conf = write(f'nginx-{kind}.conf', f'''daemon off;
{"user root;" if os.geteuid() == 0 else ""}
worker_processes 1;
worker_rlimit_nofile {room(kind) + 100};
pid {OUT}/nginx-{kind}.pid;
error_log {OUT}/nginx-{kind}.error.log;
events {{ worker_connections {room(kind)}; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000000;
  keepalive_timeout 600;
  client_body_temp_path {OUT}/nginx-body;
  types {{ text/plain txt; }}
  server {{ listen 127.0.0.1:{port}{" ssl" if tls else ""}; root {www()}; {pki} }}
}}
''')
    return ['/usr/sbin/nginx', '-c', conf, '-e', f'{OUT}/nginx-{kind}.error.log']


def raw(name, mode):
    return Server(name, {'plain': lambda port: [os.path.join(OUT, 'raw'), str(port), www(), mode]})


def known(binary):
    """All servers by name; those that are not at hand are left out by whoever chooses from them."""
    servers = [
        ours('ecohttpd', binary),
        Server('lighttpd', {kind: lambda port, kind=kind: lighttpd(kind, port)
                            for kind in ('plain', 'crowd', 'tls', 'cgi', 'upload')}),
        Server('lighttpd-debian', {'plain': lighttpd_of_debian}),
        Server('nginx', {kind: lambda port, kind=kind: nginx(kind, port) for kind in ('plain', 'crowd', 'tls')}),
        Server('busybox', {kind: lambda port: ['busybox', 'httpd', '-f', '-p', f'127.0.0.1:{port}', '-h', www()]
                           for kind in ('plain', 'cgi')}),
        raw('raw', 'canned'),
        raw('raw-file', 'file'),
        raw('raw-sendfile', 'sendfile'),
    ]
    if has_option(binary, CACHE_OFF[0]):
        servers.append(ours('ecohttpd-uncached', binary, CACHE_OFF))
    if os.path.exists(STATIC):
        servers.append(ours('ecohttpd-static', STATIC))
    if os.path.exists(STATIC_MINI):
        servers.append(ours('ecohttpd-mini-static', STATIC_MINI).without('tls'))
    return {server.name: server for server in servers}


def given(argument):
    """A server of --with NAME[:KIND]=COMMAND."""
    match = re.fullmatch(r'([\w.-]+)(?::(plain|tls|cgi))?=(.+)', argument, re.S)
    if not match:
        raise Failure(f'--with {argument}: not NAME[:plain|tls|cgi]=COMMAND')
    name, kind, command = match[1], match[2] or 'plain', match[3]
    if '{port}' not in command:
        raise Failure(f'--with {argument}: {{port}} is not in the command')

    def argv(port):
        values = {'port': str(port), 'root': www(), 'cert': CERT, 'key': KEY}
        words = shlex.split(re.sub(r'\{(port|root|cert|key)\}', lambda m: shlex.quote(values[m[1]]), command))
        return ['env', *(f'{name.upper()}={value}' for name, value in values.items()), *words]

    return Server(name, {kind: argv})
