"""``freshpg templates``: what was built once and is reused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from freshpg.cli.command import command as make_command
from freshpg.cli.output import ago, bold, duration, print_json, print_table, size
from freshpg.core.printable import plain

if TYPE_CHECKING:
    from freshpg.core.settings import Settings
    from freshpg.servers.images import Image
    from freshpg.templates.records import TemplateRecord


@make_command(
    "templates",
    examples=(
        ("freshpg templates", "images and templates: size, age, build time, last use"),
        ("freshpg templates --remove-old", "remove those over the bounds of the settings"),
    ),
)
@click.option("--remove-old", is_flag=True, help="Remove old ones; those in use always stay.")
def command(*, remove_old: bool, as_json: bool) -> None:
    """List what was built once and is reused.

    Images in the cache, and templates on somebody else's server. A server of ours starts from an image, which has the templates of all of a project's databases.
    """
    from freshpg.core.settings import load_settings
    from freshpg.status.builds import read_builds, remove_old_builds

    settings = load_settings(Path.cwd(), environment=os.environ)
    removed = remove_old_builds(settings) if remove_old else []
    builds = read_builds(settings)
    if as_json:
        print_json({**builds.to_json(), "removed": removed})
        return
    _show_images(settings, builds.images)
    if settings.conninfo is not None:
        _show_templates(settings, builds.templates)
    for name in removed:
        click.echo(plain(f"removed {name}"))


def _show_images(settings: Settings, images: tuple[Image, ...]) -> None:
    total = size(sum(image.manifest.pack_bytes for image in images))
    click.echo(bold(f"{len(images)} images, {total}"))
    rows = [_image_row(settings, image) for image in images]
    if rows:
        print_table(
            (
                "image",
                "databases",
                "PostgreSQL",
                "size",
                "built in",
                "made",
                "last used",
                "project",
            ),
            rows,
        )


def _image_row(settings: Settings, image: Image) -> tuple[str, ...]:
    manifest = image.manifest
    project: Any = manifest.facts.get("project", "")
    return (
        image.key[:12],
        ", ".join(manifest.templates) or "(empty cluster)",
        manifest.version,
        size(manifest.pack_bytes),
        duration(manifest.build_seconds),
        ago(manifest.created),
        ago(image.last_used),
        "this one" if project == str(settings.root) else str(project),
    )


def _show_templates(settings: Settings, templates: tuple[TemplateRecord, ...]) -> None:
    address = settings.conninfo.safe() if settings.conninfo else ""
    click.echo(bold(f"{len(templates)} templates on {address}"))
    rows = [
        (
            one.name,
            one.blueprint,
            size(one.size),
            duration(one.seconds),
            ago(one.made),
            ago(one.used),
        )
        for one in templates
    ]
    if rows:
        print_table(("template", "blueprint", "size", "built in", "made", "last used"), rows)
