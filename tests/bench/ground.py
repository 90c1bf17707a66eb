"""What has to be there before anything is measured: packages, the binaries and the docroot."""

import os
import shutil
import subprocess
import time

from processes import Failure
from servers import HERE, OUT, ROOT, SCRIPT_WAITS, www

# What a Debian package brings, by the row that needs it; the others are for all.
PACKAGES = {
    'wrk': 'wrk', '/usr/sbin/lighttpd': 'lighttpd', '/usr/lib/lighttpd/mod_openssl.so': 'lighttpd-mod-openssl',
    '/usr/sbin/nginx': 'nginx-light', 'busybox': 'busybox', 'strace': 'strace', 'perf': 'linux-perf',
    'valgrind': 'valgrind', 'cc': 'gcc', 'qemu-mipsel': 'qemu-user',
}
FILES = {'1k.txt': 1 << 10, '100k.bin': 100 << 10, '1m.bin': 1 << 20, '512m.bin': 512 << 20}
SCRIPTS = {
    'hello': "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\nHello\\n'\n",
    'discard': "#!/bin/sh\ncat >/dev/null\n"
               "printf 'Content-Type: text/plain\\r\\n\\r\\n%s bytes\\n' \"$CONTENT_LENGTH\"\n",
    'wait': f"#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n%s\\n' '{SCRIPT_WAITS}'\nexec sleep 0.5\n",
}


# Seconds for which a file has to be left alone before the launcher keeps its bytes (src/cache.rs), and one
# for the clock of the file system.
SETTLED = 2 + 1


def install(wanted):
    missing = [package for there, package in PACKAGES.items()
               if there in wanted and not os.path.exists(there) and not shutil.which(there)]
    if not missing:
        return
    print('installing', *missing)
    sudo = [] if os.geteuid() == 0 else ['sudo']
    environment = ['env', 'DEBIAN_FRONTEND=noninteractive']
    # What comes with a service is not to start it.
    policy = '/usr/sbin/policy-rc.d'
    own = not os.path.exists(policy)
    if own:
        subprocess.run([*sudo, 'install', '-m', '755', '/dev/stdin', policy], input=b'#!/bin/sh\nexit 101\n',
                       check=True)
    try:
        apt = [*sudo, *environment, 'apt-get', '-qq', '-o', 'DPkg::Lock::Timeout=300']
        subprocess.run([*apt, 'update'], check=True)
        subprocess.run([*apt, 'install', '-y', '--no-install-recommends', *missing], check=True,
                       stdout=subprocess.DEVNULL)
    except subprocess.CalledProcessError as e:
        raise Failure(f'installing {" ".join(missing)}: {e}') from None
    finally:
        if own:
            subprocess.run([*sudo, 'rm', '-f', policy], check=True)


def release(binary):
    """The release build of the launcher, unless another binary is to be measured."""
    os.makedirs(OUT, exist_ok=True)
    if binary:
        return os.path.abspath(binary)
    cargo('--bin', 'ecohttpd')
    return os.path.join(ROOT, 'target/release/ecohttpd')


def cargo(*target):
    try:
        subprocess.run(['cargo', 'build', '-q', '--release', *target], cwd=ROOT, check=True)
    except subprocess.CalledProcessError as e:
        raise Failure(str(e)) from None


def helpers():
    """What the benchmark has of its own."""
    cargo('--example', 'formdata')
    compiled('raw.c', 'raw')
    compiled('count.c', 'count.so', '-shared', '-fPIC')


def compiled(source, name, *flags):
    """A C file of this folder as a program or library below target/bench."""
    out = os.path.join(OUT, name)
    try:
        subprocess.run(['cc', '-O2', '-Wall', *flags, '-o', out, os.path.join(HERE, source)], check=True)
    except subprocess.CalledProcessError as e:
        raise Failure(str(e)) from None


def docroot(*names):
    """The files and scripts that are served: those of the names, or all; settled, so that they are cached."""
    os.makedirs(f'{www()}/cgi-bin', exist_ok=True)
    block = b'0123456789abcde\n' * 64
    for name in names or FILES:
        size = FILES[name]
        path = f'{www()}/{name}'
        if not os.path.exists(path) or os.path.getsize(path) != size:
            with open(path, 'wb') as f:
                for _ in range(size // len(block)):
                    f.write(block)
    changed = max(os.stat(f'{www()}/{name}').st_ctime for name in names or FILES)
    while (age := time.time() - changed) <= SETTLED:
        time.sleep(max(0.1, SETTLED - age))
    for name, text in SCRIPTS.items():
        path = f'{www()}/cgi-bin/{name}'
        with open(path, 'w') as f:
            f.write(text)
        os.chmod(path, 0o755)
