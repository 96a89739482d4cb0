"""The commands that exchange circuits with other tools: export, import. Neither needs a model."""

from __future__ import annotations

from typing import Annotated

import typer

from circuitgraph.cli.shared import Json, app, note, print_json

Top = Annotated[int | None, typer.Option("--top", metavar="N", min=1, help="Edges of largest |score| in the graph.")]
Threshold = Annotated[
    float | None, typer.Option("--threshold", metavar="X", help="Edges with |score| of at least X in the graph.")
]


@app.command()
def export(
    what: Annotated[str, typer.Argument(metavar="RUN|FILE", help="A run directory, or a file that import reads.")],
    output: Annotated[str, typer.Option("-o", "--output", metavar="FILE", help="The file to write.")],
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="eap-json|mib|graphml|networkx-json|csv", help="The format.", show_default="by the ending"
        ),
    ] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", metavar="METRIC", help="Of one metric.", show_default="the first")
    ] = None,
    top: Top = None,
    threshold: Threshold = None,
    direction: Annotated[
        str | None,
        typer.Option(
            "--direction",
            metavar="effect|importance",
            help="Scores: patched − base, or base − patched.",
            show_default="eap-json effect, mib importance",
        ),
    ] = None,
    drop: Annotated[bool, typer.Option("--drop", help="Leave out what the format cannot hold, and list it.")] = False,
    circuit: Annotated[
        bool, typer.Option("--circuit", help="mib: which edges belong to the circuit, without scores.")
    ] = False,
) -> None:
    """Write a run for EAP-IG, MIB, networkx, Gephi or a spreadsheet."""
    from circuitgraph import api

    written = api.export(
        what,
        output,
        to,
        metric=metric,
        top=top,
        threshold=threshold,
        direction=direction,
        drop=drop,
        circuit=circuit,
        tell=note,
    )
    note(f"wrote {written}")


@app.command("import")
def import_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A circuit, or prompts, of another tool.")],
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="SPEC", help="The spec to write (YAML); prompts: .jsonl.", show_default="print it"
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option("--from", metavar="FORMAT", help="Insist on a format.", show_default="by ending and content"),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="NAME", help="The model it is of.")] = None,
    prompts: Annotated[str | None, typer.Option("--prompts", metavar="FILE", help="Prompts to measure on.")] = None,
    top: Top = None,
    threshold: Threshold = None,
    direction: Annotated[
        str | None,
        typer.Option("--direction", metavar="effect|importance", help="What the scores are, where the file is silent."),
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", metavar="id|year|text", help="EAP's CSV: what a number under label is.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    as_json: Json = False,
) -> None:
    """Make a spec of a circuit found elsewhere, or prompt pairs of prompts."""
    from circuitgraph import api

    made = api.import_circuit(
        file,
        output,
        format=format_,
        model=model,
        prompts=prompts,
        top=top,
        threshold=threshold,
        direction=direction,
        label=label,
        replace=force,
    )
    for text in made.notes:
        note(f"note: {text}")
    if as_json:
        spec = None if made.spec is None else made.spec.model_dump(mode="json", exclude_defaults=True, by_alias=True)
        pairs = [pair.model_dump(mode="json", exclude_defaults=True) for pair in made.pairs]
        print_json(
            {
                "format": made.format.value,
                "spec": spec,
                "pairs": pairs,
                "notes": list(made.notes),
                "written": [str(path) for path in made.written],
            }
        )
    elif output is None:
        typer.echo(made.text, nl=False)
    for path in made.written:
        note(f"wrote {path}")
    if made.written and made.spec is not None:
        note(f"next: circuitgraph check {made.written[0]}")
