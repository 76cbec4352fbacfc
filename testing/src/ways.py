"""Ways out of a pod. `ways.py JSON` tries each of a list and prints a line of JSON for it: `reached` where the far end answered, `sent`
or `opened` where that cannot be known here, or what the system said. `ways.py serve PORT...` is the far end: it answers `world` and prints
every payload that came. Written with the system's own calls, so that nothing but the kernel stands in the way."""
import ctypes
import errno
import json
import mmap
import os
import signal
import socket
import struct
import sys
import threading

ANSWER = b"world"
PATIENCE_S = 2
MPTCP, SCTP, UDP_LITE, RAW = 262, 132, 136, 255
FASTOPEN_FLAG = 0x20000000
URING_SETUP, URING_ENTER, URING_CONNECT, URING_SEND = 425, 426, 16, 26


def family(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def stream(way, protocol=0, prepare=lambda s: None):
    with socket.socket(family(way["host"]), socket.SOCK_STREAM, protocol) as s:
        s.settimeout(PATIENCE_S)
        prepare(s)
        s.connect((way["host"], way["port"]))
        s.sendall(payload(way))
        return received(s)


def datagram(way, protocol=0):
    with socket.socket(family(way["host"]), socket.SOCK_DGRAM, protocol) as s:
        s.settimeout(PATIENCE_S)
        s.sendto(payload(way), (way["host"], way["port"]))
        return received(s)


def received(s):
    data = s.recv(64)
    return "reached" if data == ANSWER else "closed" if data == b"" else "answered by another"


def payload(way):
    return f"{way.get('who', 'somebody')} by {way['kind']}\n".encode()


def fast_open(way):
    with socket.socket(family(way["host"])) as s:
        s.sendto(payload(way), FASTOPEN_FLAG, (way["host"], way["port"]))
        return received(s)


def device(s):
    s.setsockopt(socket.SOL_SOCKET, 25, b"eth0\0")


def mark(s):
    s.setsockopt(socket.SOL_SOCKET, 36, 1)


def ipv4_udp(way):
    """A packet made by hand, from this pod's own address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((way["host"], way["port"]))
        source = s.getsockname()[0]
    data = payload(way)
    udp = struct.pack("!HHHH", 4321, way["port"], 8 + len(data), 0) + data
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton(source), socket.inet_aton(way["host"]))
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack("!H", ~total & 0xFFFF) + head[12:] + udp


def raw(way):
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, RAW) as s:
        s.sendto(ipv4_udp(way), (way["host"], 0))
    return "sent"


def frame(way):
    """Straight to the device, to the gateway's or the neighbour's hardware address, past the IP stack."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)) as s:
        with open("/proc/net/arp", encoding="ascii") as table:
            near = [line.split()[3] for line in table.readlines()[1:] if line.split()[3] != "00:00:00:00:00:00"]
        for address in near or ["ff:ff:ff:ff:ff:ff"]:
            s.sendto(ipv4_udp(way), ("eth0", 0x0800, 0, 0, bytes.fromhex(address.replace(":", ""))))
    return "sent"


def echo(kind):
    request = struct.pack("!BBHHH", 8, 0, 0, 1, 1) + bytes(8)
    words = sum(struct.unpack("!8H", request))
    request = request[:2] + struct.pack("!H", ~((words & 0xFFFF) + (words >> 16)) & 0xFFFF) + request[4:]

    def ask(way):
        with socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP) as s:
            s.settimeout(PATIENCE_S)
            s.sendto(request, (way["host"], 0))
            s.recv(64)
            return "reached"

    return ask


def opened(*arguments):
    def attempt(_way):
        socket.socket(*arguments).close()
        return "opened"

    return attempt


def system(number, *arguments):
    result = LIBC.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def uring(way):
    """Connects and sends without a call that names a socket: the kernel does both from a ring in shared memory."""
    params = (ctypes.c_uint32 * 30)()
    ring = system(URING_SETUP, 4, params)
    flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
    size = max(params[16] + params[0] * 4, params[25] + params[1] * 16)
    rings = mmap.mmap(ring, size, flags=flags, offset=0)
    entries = mmap.mmap(ring, params[0] * 64, flags=flags, offset=0x10000000)

    def submit(operation, fd, address, offset, length):
        tail = struct.unpack_from("I", rings, params[11])[0]
        slot = tail & struct.unpack_from("I", rings, params[12])[0]
        entries[slot * 64 : slot * 64 + 64] = struct.pack("BBHiQQIIQ", operation, 0, 0, fd, offset, address, length, 0, 0).ljust(64, b"\0")
        struct.pack_into("I", rings, params[16] + slot * 4, slot)
        struct.pack_into("I", rings, params[11], tail + 1)
        system(URING_ENTER, ring, 1, 1, 1, 0, 0)
        head = struct.unpack_from("I", rings, params[20])[0]
        at = params[25] + (head & struct.unpack_from("I", rings, params[22])[0]) * 16
        struct.pack_into("I", rings, params[20], head + 1)
        result = struct.unpack_from("i", rings, at + 8)[0]
        if result < 0:
            raise OSError(-result, "")

    packed = socket.inet_pton(family(way["host"]), way["host"])
    port = struct.pack("!H", way["port"])
    v6 = family(way["host"]) == socket.AF_INET6
    name = struct.pack("H", socket.AF_INET6) + port + bytes(4) + packed + bytes(4) if v6 else struct.pack("H", socket.AF_INET) + port + packed + bytes(8)
    address, data = ctypes.create_string_buffer(name, len(name)), ctypes.create_string_buffer(payload(way))
    with socket.socket(family(way["host"])) as s:
        submit(URING_CONNECT, s.fileno(), ctypes.addressof(address), len(name), 0)
        submit(URING_SEND, s.fileno(), ctypes.addressof(data), 0, len(data.value))
        s.settimeout(PATIENCE_S)
        return received(s)


LIBC = ctypes.CDLL(None, use_errno=True)
KINDS = {
    "tcp": stream,
    "tcp from": lambda way: stream(way, prepare=lambda s: s.bind(("", way["from"]))),
    "tcp, IPv4 in IPv6": lambda way: stream({**way, "host": f"::ffff:{way['host']}"}),
    "tcp by a device": lambda way: stream(way, prepare=device),
    "tcp with a mark": lambda way: stream(way, prepare=mark),
    "tcp with fast open": fast_open,
    "mptcp": lambda way: stream(way, MPTCP),
    "io_uring": uring,
    "sctp": lambda way: stream(way, SCTP),
    "udp": datagram,
    "udp-lite": lambda way: datagram(way, protocol=UDP_LITE),
    "echo": echo(socket.SOCK_DGRAM),
    "echo by a raw socket": echo(socket.SOCK_RAW),
    "raw ip": raw,
    "frame": frame,
    "af_xdp": opened(44, socket.SOCK_RAW, 0),
    "vsock": opened(40, socket.SOCK_STREAM, 0),
    "pppoe": opened(24, socket.SOCK_DGRAM, 0),
}


def late(_signal, _frame):
    raise TimeoutError(errno.ETIMEDOUT, "")


def attempt(way):
    signal.setitimer(signal.ITIMER_REAL, 3 * PATIENCE_S)
    try:
        return KINDS[way["kind"]](way)
    except TimeoutError:
        return "silence"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def serve(ports):
    def say(data):
        os.write(1, data)

    def listen(port):
        with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True) as server:
            while True:
                threading.Thread(target=talk, args=[server.accept()[0]], daemon=True).start()

    def talk(client):
        with client:
            try:
                client.settimeout(5)
                say(client.recv(256))
                client.sendall(ANSWER)
            except OSError:
                pass

    def answer(port, protocol):
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, protocol) as s:
            s.bind(("::", port))
            while True:
                data, sender = s.recvfrom(256)
                say(data)
                s.sendto(ANSWER, sender)

    for port in ports:
        threading.Thread(target=listen, args=[port]).start()
        for protocol in (0, UDP_LITE):
            threading.Thread(target=answer, args=[port, protocol]).start()
    say(b"ready\n")


if sys.argv[1] == "serve":
    serve([int(port) for port in sys.argv[2:]])
else:
    signal.signal(signal.SIGALRM, late)
    for one in json.loads(sys.argv[1]):
        print(json.dumps(attempt(one)), flush=True)
