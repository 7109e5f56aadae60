"""``freshpg tenants``: live pools of running applications."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from freshpg.cli import exits
from freshpg.cli.command import command as make_command
from freshpg.cli.output import ago, bold, duration, faint, print_json, print_table, say

if TYPE_CHECKING:
    from freshpg.tenants.live.client import Answer

_MOST = 20
"""Pools that are listed for a person without --all."""


@make_command(
    "tenants",
    examples=(
        (
            "freshpg tenants",
            "pools of every process that shows them: who holds what, what is stuck",
        ),
        ("freshpg tenants --stuck 5", "stuck is whoever holds a connection for 5 s"),
        ("freshpg tenants --end 4711", "cut that connection off from its holder"),
        ("freshpg tenants --json | jq '.processes[].pools.leases[]'", "for programs"),
    ),
)
@click.option(
    "--stuck",
    type=click.FloatRange(min=0),
    default=30.0,
    metavar="SECONDS",
    show_default=True,
    help="From when on a connection counts as stuck.",
)
@click.option(
    "--end",
    "ended",
    type=int,
    metavar="PID",
    help="End the connection whose server process has this number.",
)
@click.option("--process", type=int, metavar="PID", help="Only that process of an application.")
@click.option("--all", "everything", is_flag=True, help="Every pool and lease, however many.")
def command(
    *, stuck: float, ended: int | None, process: int | None, everything: bool, as_json: bool
) -> int:
    """Show tenant pools of running applications.

    Of those of this user that asked for it: publish(pools) of freshpg.tenants.live. With --end, what runs on a
    connection is cancelled and its holder gets an error; only connections in use by such a process can be ended.
    """
    from freshpg.tenants.live.client import ask_everybody

    answers = ask_everybody({"ask": "show", "stuck": stuck}, pid=process)
    if ended is not None:
        return _end(ended, answers, as_json=as_json)
    if as_json:
        shown = [
            answer.said or {"pid": answer.pid, "problem": answer.problem} for answer in answers
        ]
        print_json({"processes": shown})
    elif not answers:
        click.echo(
            "no process shows tenant pools; in an application: publish(pools) of freshpg.tenants.live"
        )
    for answer in answers if not as_json else ():
        _show(answer, everything=everything)
    return exits.FAILED if any(answer.problem for answer in answers) else exits.DONE


def _end(pid: int, answers: list[Answer], *, as_json: bool) -> int:
    from freshpg.tenants.live.client import ask_everybody

    holders = sorted({answer.pid for answer in answers if pid in _pids(answer)})
    if len(holders) > 1:
        # Numbers of processes are each server's own.
        raise click.UsageError(
            f"processes {', '.join(map(str, holders))} hold a connection with that number; name one with --process"
        )
    asked = ask_everybody({"ask": "end", "pid": pid}, pid=holders[0]) if holders else []
    done = [(one.pid, one.said["ended"]) for one in asked if one.said.get("ended")]
    if as_json:
        print_json({"ended": [{"process": process, **lease} for process, lease in done]})
    for process, lease in done if not as_json else ():
        held = f"held for {duration(lease['seconds'])} by {lease['owner']} of process {process}"
        click.echo(f"ended {pid} of {_tenant(lease)}, {held}")
    for answer in (*answers, *asked):
        if answer.problem:
            say(f"process {answer.pid}: {answer.problem}")
    if not done:
        say(f"no process that shows its tenant pools holds a connection with the number {pid}")
    return exits.DONE if done else exits.FAILED


def _pids(answer: Answer) -> list[int]:
    pools = answer.said.get("pools") or {"leases": ()}
    return [lease["pid"] for lease in pools["leases"]]


def _show(answer: Answer, *, everything: bool) -> None:
    if answer.problem:
        say(f"process {answer.pid}: {answer.problem}")
        return
    said, pools = answer.said, answer.said["pools"]
    click.echo(
        f"{bold(str(said['pid']))}  {said['program']}  "
        + faint(f"shown since {ago(said['since'])}")
    )
    if pools is None:
        click.echo("  its pools are gone")
        return
    click.echo(f"  {pools['name']}: {_counts(pools)}")
    _show_pools(pools["pools"], everything=everything)
    _show_leases([lease for lease in pools["leases"] if lease["stuck"] or everything])
    for problem in pools["problems"]:
        say(f"  {problem}")
    click.echo()


def _counts(pools: dict[str, Any]) -> str:
    counted = [*sorted(pools["states"].items()), ("at rest", pools["idle"])]
    states = [f"{count} {state}" for state, count in counted]
    words = [
        f"{pools['open_pools']} tenants"
        + (f" of {pools['max_pools']}" if pools["max_pools"] else ""),
        f"{pools['connections']} connections ({', '.join(states)})",
        f"{pools['waiting']} callers wait",
        f"{pools['evictions']} evictions",
        f"{pools['timeouts']} timeouts",
    ]
    return ", ".join(words)


def _show_pools(pools: list[dict[str, Any]], *, everything: bool) -> None:
    busiest = sorted(pools, key=lambda pool: (-pool["waiting"], -pool["used"]))
    listed = busiest if everything else busiest[:_MOST]
    rows = [
        (
            _tenant(pool),
            str(pool["used"]),
            str(pool["idle"]),
            str(pool["waiting"]),
            str(pool["limit"]),
        )
        for pool in listed
    ]
    if rows:
        print_table(("tenant", "in use", "at rest", "waiting", "limit"), rows, indent="  ")
    if len(listed) < len(pools):
        click.echo(f"  and {len(pools) - len(listed)} more: --all")


def _show_leases(leases: list[dict[str, Any]]) -> None:
    for lease in leases:
        held = f"held for {duration(lease['seconds'])} by {lease['owner']}, {lease['state']}"
        waits = f", waits for {lease['waits_for']}" if lease["waits_for"] else ""
        mark = click.style("stuck", fg="red") if lease["stuck"] else "lease"
        click.echo(f"  {mark} {bold(str(lease['pid']))} of {_tenant(lease)}: {held}{waits}")
        for label, text in (
            ("query", " ".join(lease["query"].split())),
            ("now at", next(iter(lease["now_at"]), "")),
            ("taken at", next(iter(lease["taken_at"]), "")),
        ):
            if text:
                click.echo(f"    {label}: {text}")
        if lease["stuck"]:
            click.echo(faint(f"    end it: freshpg tenants --end {lease['pid']}"))


def _tenant(fact: dict[str, Any]) -> str:
    return "(system)" if fact["tenant"] is None else str(fact["tenant"])
