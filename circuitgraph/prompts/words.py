"""The words and sentences of the indirect object task. Data only: no imports, no effects.

Every name, place and object is one GPT-2 token after a space, and one word of ioi-mini's vocabulary;
objects start with a consonant, so "a" always fits. A template never begins with a slot (a first word
has no space before it, and would be another token in GPT-2). It mentions three names, in this order:

    {A}   the first name,
    {B}   the second name,
    {S2}  the subject: one of the two again,

has {PLACE} and {OBJECT} once each, and stops right before its answer, the name that is not repeated.
Filled with single-token words, all prompts of one template have the same number of tokens.

ioi-mini is trained on IOI_TEMPLATES (among other sentences); HELD_OUT_TEMPLATES use only words that
it knows, in sentences that it has never seen.
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
