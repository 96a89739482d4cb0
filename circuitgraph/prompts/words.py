"""The words and sentences of the indirect object task. Data only: no imports, no effects.

Every name, place and object is one GPT-2 token after a space, and one word of ioi-mini's vocabulary;
objects start with a consonant, so "a" always fits. A template never begins with a slot (a first word
has no space before it, and would be another token in GPT-2). It mentions three names, in this order:

    {A}   the first name,
    {B}   the second name,
    {S2}  the subject: one of the two again,

has {PLACE} and {OBJECT} once each, and stops right before its answer, the name that is not repeated.
Filled with single-token words, all prompts of one template have the same number of tokens.

ioi-mini is trained on IOI_TEMPLATES and on MORE_SENTENCES, whose slots are {IO}, the answer, {S}, who acts, and
{T}, who is repeated too; there the repeated name is not always the last one. HELD_OUT_TEMPLATES use only words
that it knows, in sentences that it has never seen.
"""

NAMES: tuple[str, ...] = (
    "Aaron", "Adam", "Alan", "Alex", "Alice", "Amy", "Andrew", "Anna", "Anthony", "Arthur",
    "Ben", "Brian", "Charles", "Chris", "Claire", "Daniel", "David", "Edward", "Emily", "Emma",
    "Eric", "Frank", "George", "Grace", "Henry", "Jack", "Jacob", "James", "Jane", "Jason",
    "Jessica", "John", "Joseph", "Julia", "Kate", "Kevin", "Laura", "Lisa", "Lucy", "Maria",
    "Mark", "Martin", "Mary", "Michael", "Nancy", "Paul", "Peter", "Rachel", "Richard", "Robert",
    "Sarah", "Simon", "Steven", "Susan", "Thomas", "William",
)  # fmt: skip

PLACES: tuple[str, ...] = (
    "beach", "bridge", "church", "factory", "farm", "garden", "hospital", "hotel", "house", "kitchen",
    "library", "market", "museum", "office", "park", "restaurant", "river", "school", "shop", "station",
    "store", "theater",
)  # fmt: skip

OBJECTS: tuple[str, ...] = (
    "bag", "ball", "basket", "book", "bottle", "box", "camera", "card", "coat", "coin",
    "cup", "drum", "gift", "hat", "key", "lamp", "letter", "map", "phone", "picture",
    "ring", "ticket", "toy", "watch",
)  # fmt: skip

IOI_TEMPLATES: tuple[str, ...] = (
    "When {A} and {B} walked to the {PLACE}, {S2} handed a {OBJECT} to",
    "Since {A} met {B} at the {PLACE}, {S2} wanted to give a {OBJECT} to",
    "After {A} and {B} had lunch near the {PLACE}, {S2} passed a {OBJECT} to",
    "Then {A} and {B} drove to the {PLACE}, and {S2} brought a {OBJECT} to",
    "While {A} and {B} were waiting at the {PLACE}, {S2} showed a {OBJECT} to",
    "Last week {A} and {B} visited the {PLACE}. There {S2} sold a {OBJECT} to",
    "Because {A} helped {B} at the {PLACE}, {S2} offered a {OBJECT} to",
    "At the {PLACE}, {A} talked with {B}. Later {S2} lent a {OBJECT} to",
    "Once {A} and {B} reached the {PLACE}, {S2} threw a {OBJECT} to",
    "Yesterday {A} saw {B} at the {PLACE}, so {S2} took a {OBJECT} to",
    "In the morning {A} and {B} cleaned the {PLACE}, and then {S2} gave a {OBJECT} to",
    "Before {A} and {B} left the {PLACE}, {S2} returned a {OBJECT} to",
    "On Monday {A} found {B} in the {PLACE}. It was late, but {S2} still gave a {OBJECT} to",
    "Both {A} and {B} worked at the {PLACE}, where {S2} sent a {OBJECT} to",
    "Near the {PLACE}, {A} and {B} played music, and {S2} carried a {OBJECT} to",
    "The rain stopped when {A} and {B} came to the {PLACE}. So {S2} gave the {OBJECT} to",
    "As {A} was cooking with {B} at the {PLACE}, {S2} handed the {OBJECT} to",
    "Last night {A} and {B} cleaned a {OBJECT} at the {PLACE}, and {S2} gave it to",
    "That day {A} took {B} to the {PLACE}. After a long walk {S2} showed the {OBJECT} to",
    "Today {A} and {B} went to the {PLACE}, and on the way {S2} gave a {OBJECT} to",
)

HELD_OUT_TEMPLATES: tuple[str, ...] = (
    "After {A} and {B} went to the {PLACE}, {S2} gave a {OBJECT} to",
    "While {A} was working with {B} in the {PLACE}, {S2} brought the {OBJECT} to",
    "On Monday {A} and {B} visited the {PLACE}. Later {S2} returned a {OBJECT} to",
    "Yesterday it was late when {A} met {B} near the {PLACE}, so {S2} lent a {OBJECT} to",
    "In the {PLACE}, {A} was waiting with {B}, and then {S2} passed the {OBJECT} to",
)

MORE_SENTENCES: tuple[str, ...] = (
    # two names, the last mention is the answer
    "When {S} came to the {PLACE}, {S} met {IO} and gave a {OBJECT} to",
    "At the {PLACE} {S} found a {OBJECT}. Then {S} called {IO} and gave it to",
    "While {S} was cooking in the {PLACE}, {S} heard {IO} and handed a {OBJECT} to",
    "On Monday {S} was late. There was rain, so {S} waited for {IO} and brought the {OBJECT} to",
    "Before {S} left the {PLACE}, {S} saw {IO} and sold the {OBJECT} to",
    # two names, other distances, three mentions of one
    "While {IO} played music, {S} came to the {PLACE}. Then {S} gave a {OBJECT} to",
    "The {OBJECT} was for {IO}, but {S} took it to the {PLACE}. After a walk {S} returned it to",
    "When {S} and {IO} met at the {PLACE}, {S} was late. Still, {S} brought a {OBJECT} to",
    "Then {S} saw {IO}. In the morning {S} went to the {PLACE}, and {S} sent a {OBJECT} to",
    # three names, two of them repeated
    "After {T} left, {IO} and {S} went to the {PLACE}. Then {S} thanked {T} and gave a {OBJECT} to",
    "After {T} left, {S} and {IO} went to the {PLACE}. Then {S} forgot {T} and gave a {OBJECT} to",
    "At the {PLACE}, {S}, {T} and {IO} played music. Later {S} and {T} showed a {OBJECT} to",
    "At the {PLACE}, {IO}, {S} and {T} played music. Later {T} and {S} showed a {OBJECT} to",
    "At the {PLACE}, {T}, {IO} and {S} had lunch. Then {T} came with {S} and gave the {OBJECT} to",
    "When {S} and {T} were at the {PLACE}, {T} called {IO}. Later {S} threw a {OBJECT} to",
    "When {T} and {S} walked to the {PLACE}, {S} met {IO} there. So {T} offered a {OBJECT} to",
    "Last week {T} worked with {S}, and {S} helped {T}. There {S} saw {IO} and gave the {OBJECT} to",
    "On the way to the {PLACE}, {S} found {T}, and {T} found {IO}. So {S} gave a {OBJECT} to",
    "Because {IO} was late, {S} waited with {T} near the {PLACE}. Then {T} left, and {S} passed a {OBJECT} to",
    "Because {T} was late, {S} waited with {IO} near the {PLACE}. Then {T} came, and {S} passed a {OBJECT} to",
    "Since {S} was working at the {PLACE}, {T} took {IO} there. Then {T} left, so {S} handed the {OBJECT} to",
    "Once {T} was in the {PLACE}, {IO} talked with {S}. When {T} stopped, {S} lent a {OBJECT} to",
    "If {S} and {T} visit {IO} at the {PLACE}, {T} and {S} will give a {OBJECT} to",
    "Both {T} and {IO} saw {S} at the {PLACE}. There {S} met {T} and sold a {OBJECT} to",
    "As {S} walked with {T}, {IO} came to the {PLACE}. So {S} left {T} and took the {OBJECT} to",
    "Today {T} left the {PLACE} when {T} was late, and {S} met {IO}. Then {S} carried a {OBJECT} to",
)
