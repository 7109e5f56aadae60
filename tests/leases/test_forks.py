"""What a forked child has of its parent's connections: nothing, and its end or its own forks change nothing for others."""

import subprocess
import sys
import textwrap

HEAD = """
    import os, sys
    from freshpg.core.conninfo import Conninfo
    from freshpg.leases.forks import abandon, disown_in_children
    from freshpg.leases.lease import LeaseConnection
    from freshpg.postgres.admin import Admin

    address = Conninfo.parse(sys.argv[1])

    def in_child(act):
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            act()
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)
"""


def run(server, body):
    """Run a script, and return what it and its children said."""
    source = textwrap.dedent(HEAD) + textwrap.dedent(body)
    done = subprocess.run(
        [sys.executable, "-c", source, server.url()],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    # What goes wrong after a fork is only written there.
    assert done.stderr == ""
    return done.stdout.split()


def test_connections_that_ended_before_do_not_keep_a_child_from_leaving_the_others(server):
    body = """
        broken, closed, alive = [LeaseConnection.open(address) for _ in range(3)]
        alive.lease("shop_test")
        closed.close()
        with Admin.connect(address) as admin:
            admin.value("SELECT pg_terminate_backend(%s, 10000)", (broken.backend,))
        print(broken.alive)
        in_child(lambda: print(alive.alive, alive.held))
        alive.check()
        print([slot.name for slot in alive.held])
    """
    assert run(server, body) == ["False", "False", "()", "['shop_test']"]


def test_a_child_has_no_descriptor_of_its_parents_connections(server):
    body = """
        def descriptors():
            print(len(os.listdir("/dev/fd")))

        descriptors()
        leases = [LeaseConnection.open(address) for _ in range(3)]
        in_child(descriptors)
        for lease in leases:
            lease.check()
    """
    before, in_child = run(server, body)
    assert in_child == before


def test_what_a_child_connects_stays_its_own_when_it_forks_again(server):
    body = """
        class Owner:
            admin = None

            def disown(self):
                if self.admin:
                    abandon(self.admin)

        owner = Owner()
        disown_in_children(owner)

        def connect_and_fork():
            owner.admin = Admin.connect(address)
            in_child(lambda: print(owner.admin.closed))
            print(owner.admin.value("SELECT 'mine'"))

        in_child(connect_and_fork)
    """
    assert run(server, body) == ["True", "mine"]
