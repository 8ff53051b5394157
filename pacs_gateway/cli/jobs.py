"""``pacs-gateway jobs``: what waits, and what failed."""

from typing import Annotated

import typer

from pacs_gateway.cli.context import opened_gateway
from pacs_gateway.cli.facts import Facts, print_json, print_table
from pacs_gateway.jobs.queue import Job, JobState

app = typer.Typer(no_args_is_help=True, help="Jobs: derived images and metadata, comparisons, storage commitment.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list", epilog="Example: pacs-gateway jobs list --state dead")
def list_jobs(
    ctx: typer.Context,
    *,
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List jobs, those due first."""
    with opened_gateway(ctx) as gateway:
        facts = [_facts(job) for job in gateway.jobs.list(state=state, limit=limit)]
    if as_json:
        print_json(facts)
    else:
        print_table(facts, none="no jobs")


@app.command(epilog="Example: pacs-gateway jobs retry --all")
def retry(
    ctx: typer.Context,
    job_id: Annotated[int | None, typer.Argument(metavar="[ID]", help="A dead job.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All dead jobs.")] = False,
) -> None:
    """Let dead jobs run again."""
    if (job_id is None) != every:
        raise typer.BadParameter("give a job's ID, or --all")
    with opened_gateway(ctx) as gateway:
        n_retried = gateway.jobs.retry(job_id)
    typer.echo(f"{n_retried} jobs will run again")


def _facts(job: Job) -> Facts:
    return {
        "id": job.id,
        "kind": job.kind,
        "key": job.key,
        "state": job.state,
        "attempts": job.attempts,
        "error": job.error,
    }
