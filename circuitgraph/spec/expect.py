"""What a spec may demand of what is measured: `expect:` on an entry, and on a circuit as a whole."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from circuitgraph.spec.kinds import Number, Section

Sign = Literal["positive", "negative"]


class ExpectSpec(Section):
    """What an effect is expected to be, in the units of the primary metric; several keys must all hold."""

    noun: ClassVar[str] = "expect"

    sign: Sign | None = None
    """`positive` or `negative`."""
    at_least: Number | None = None
    """The smallest value that is expected."""
    at_most: Number | None = None
    """The largest value that is expected."""
    about: tuple[Number, Number] | None = None
    """`[x, tolerance]`: from x − tolerance to x + tolerance."""
    within: Annotated[Number, Field(ge=0)] | None = None
    """Practically nothing: from −x to x."""

    @model_validator(mode="after")
    def _possible(self) -> ExpectSpec:
        if self == ExpectSpec.model_construct():
            raise ValueError("expect is empty; give one of sign, at_least, at_most, about, within")
        if self.about is not None and self.about[1] < 0:
            raise ValueError(f"about: [x, tolerance] has the tolerance {self.about[1]:g}; it is not negative")
        low, high = self.bounds
        if low > high or (low == high == 0 and self.sign is not None):
            raise ValueError("no value can be all of what is expected here")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest value that are expected; `sign` leaves 0 itself out."""
        x, tolerance = self.about or (0.0, math.inf)
        within = math.inf if self.within is None else self.within
        low = max(
            -math.inf if self.at_least is None else self.at_least,
            0.0 if self.sign == "positive" else -math.inf,
            x - tolerance,
            -within,
        )
        high = min(
            math.inf if self.at_most is None else self.at_most,
            0.0 if self.sign == "negative" else math.inf,
            x + tolerance,
            within,
        )
        return low, high


def _as_expect(value: Any) -> Any:
    """A sign alone is short for a section with it."""
    if not isinstance(value, str | dict | ExpectSpec):
        raise ValueError("write positive, negative, or what is expected: {at_least: 2}, {about: [-9, 3]}")
    return {"sign": value} if isinstance(value, str) else value


Expect = Annotated[ExpectSpec, BeforeValidator(_as_expect, json_schema_input_type=Sign | ExpectSpec)]
"""`expect: negative`, or its section."""


class CircuitExpectSpec(Section):
    """What is expected of a circuit as a whole; shares of the difference between the whole model and none of it."""

    noun: ClassVar[str] = "circuit.expect"

    faithfulness: Expect | None = None
    """Of the circuit alone: 1 = it does what the whole model does."""
    completeness: Expect | None = None
    """Of the rest of the model, the circuit knocked out: 0 = nothing is left outside the circuit."""

    @model_validator(mode="after")
    def _something(self) -> CircuitExpectSpec:
        if self.faithfulness is None and self.completeness is None:
            raise ValueError("expect is empty; give faithfulness, completeness or both")
        return self
