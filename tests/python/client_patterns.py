"""The three ways in which the document on single-instance protection has an application start the daemon, as they stand there
(but for the creation flags, which are Windows'). Run by tests/client_patterns.rs, which says by the environment where things are.

Usage: client_patterns.py PATTERN
"""

import os
import subprocess
import sys
import time

import grpc

from skylinedb.v1 import ping_pb2
from skylinedb.v1.skylinedb_pb2_grpc import SkylineDbServiceStub

DAEMON = [os.environ["DAEMON"], os.environ["DATABASE"]]  # the socket and the lock come by SKYLINEDB_ENDPOINT and _LOCK_FILE


def connect_to_daemon():
    return grpc.insecure_channel("unix:" + os.environ["SKYLINEDB_ENDPOINT"])


def send_ping(conn):
    return SkylineDbServiceStub(conn).Ping(ping_pb2.PingRequest())


def is_daemon_running():
    try:
        # Try to ping daemon
        conn = connect_to_daemon()
        send_ping(conn)
        conn.close()
        return True
    except Exception:
        return False


# Pattern 1: check before starting (recommended)
def ensure_daemon_running():
    if not is_daemon_running():
        # Start daemon
        subprocess.Popen(DAEMON, stderr=subprocess.DEVNULL)

        # Wait for startup
        for _ in range(10):
            time.sleep(0.5)
            if is_daemon_running():
                return True

        raise Exception("Daemon failed to start")

    # Already running
    return True


# Pattern 2: try-start with error handling
def start_daemon_if_needed():
    try:
        result = subprocess.run(DAEMON, capture_output=True, text=True, timeout=2)

        if "already running" in result.stderr:
            # Another instance exists - this is OK!
            print("Daemon already running (using existing instance)")
            return True
        elif result.returncode != 0:
            raise Exception(f"Daemon error: {result.stderr}")

    except subprocess.TimeoutExpired:
        # Daemon started and is running in background
        return True


# Pattern 3: simple startup (let it fail)
def just_start():
    # Just try to start daemon (ignore if already running)
    subprocess.Popen(DAEMON, stderr=subprocess.DEVNULL)  # Ignore "already running" error

    # Wait a moment then try to connect
    time.sleep(1)
    return connect_to_daemon()  # Will succeed whether we started it or not


def main():
    match sys.argv[1]:
        case "check_before_starting":
            assert ensure_daemon_running()
        case "try_start":
            assert start_daemon_if_needed()
        case "let_it_fail":
            just_start()
    print("pid", send_ping(connect_to_daemon()).pid)


main()
