"""``s2pipe patches CONFIG``: samples to shards; ``--plan``: the split alone; ``--from-db``: shards to shards."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.cli.arguments import option, parse
from s2pipe.cli.output import print_json
from s2pipe.cli.step import configured, step_document, step_options
from s2pipe.config.steps import STEPS
from s2pipe.errors import UsageError

if TYPE_CHECKING:
    from s2pipe.cli.commands import Command
    from s2pipe.config.steps import Step, StepResult

_EXTRA: list[tuple[str, Any, Any]] = [
    (
        "plan",
        bool,
        option(
            "Write the split (split.json) and stop. No pixel is read, and --index-json may be the Step-1 manifest.",
            "--plan",
            default=False,
        ),
    ),
    (
        "from_db",
        str,
        option(
            "Make new shards in --out-dir from the patches of existing ones that satisfy a condition on the columns of "
            "patches.parquet, as SQL has it after WHERE: \"cloud_fraction < 0.1 AND month = '2025-07'\". Balance, size "
            "of shards and seed apply; nothing else is computed again.",
            "--from-db",
            metavar="CONDITION",
        ),
    ),
    (
        "db",
        str,
        option(
            "With --from-db: the patch database. By default, the one in the out_dir of the configuration file.",
            "--db",
            metavar="FILE",
        ),
    ),
]


def all_options(step: Step) -> type:
    """Return the options of the step and those of its parts."""
    return dataclasses.make_dataclass("PatchOptions", _EXTRA, bases=(step_options(step),), frozen=True)


def main(command: Command, arguments: list[str]) -> int:
    """Run Step 3 or one of its parts."""
    step = STEPS[command.name]
    options = parse(command, all_options(step), arguments)
    if options.plan and options.from_db is not None:
        msg = "--plan and --from-db exclude each other; give only one of them"
        raise UsageError(msg)
    if options.db is not None and options.from_db is None:
        msg = "--db has no effect without --from-db"
        raise UsageError(msg)
    path, of_file = step_document(options, step)
    config = configured(of_file, options, step, path)
    if options.plan:
        from s2pipe.patches.run import plan_patches

        result: StepResult = plan_patches(config)
    elif options.from_db is not None:
        from s2pipe.patches.reshard import reshard

        result = reshard(config, _database(options, of_file), options.from_db)
    else:
        result = step.run_config(config)
    if options.json:
        print_json(result.summary())
    return result.exit_code


def _database(options: Any, of_file: dict[str, Any]) -> Path:
    """Return the path of the database that patches are taken from."""
    from s2pipe.patches.database import DATABASE_NAME

    if options.db is not None:
        return Path(options.db)
    if "out_dir" not in of_file:
        msg = "--from-db needs --db FILE, or a configuration file whose out_dir holds patches.parquet"
        raise UsageError(msg)
    return Path(of_file["out_dir"]) / DATABASE_NAME
