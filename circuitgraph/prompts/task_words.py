"""The words and sentences of the ready-made tasks. Data only: no imports, no effects.

Words are common ones, which large vocabularies hold as one token after a space. A sentence never begins with a slot:
a first word has no space before it, and would be another token.
"""

EVENTS: tuple[str, ...] = (
    "attack", "battle", "campaign", "conflict", "construction", "crisis", "debate", "dispute", "drought", "exhibition",
    "expansion", "expedition", "famine", "journey", "marriage", "operation", "plague", "project", "reign", "revolution",
    "siege", "strike", "struggle", "tour", "trade", "trial", "voyage", "war", "work",
)  # fmt: skip

GREATER_THAN_TEXTS: tuple[str, ...] = ("The {NOUN} lasted from the year {XX1}{YY} to the year {XX2}",)

HE: tuple[str, ...] = (
    "Aaron", "Adam", "Andrew", "Anthony", "Arthur", "Ben", "Brian", "Charles", "Daniel", "David",
    "Edward", "Eric", "Frank", "George", "Henry", "Jack", "Jacob", "James", "Jason", "John",
    "Joseph", "Kevin", "Mark", "Martin", "Michael", "Paul", "Peter", "Richard", "Robert", "Simon",
)  # fmt: skip

SHE: tuple[str, ...] = (
    "Alice", "Amy", "Anna", "Claire", "Emily", "Emma", "Grace", "Jane", "Jennifer", "Jessica",
    "Julia", "Kate", "Laura", "Lisa", "Lucy", "Maria", "Mary", "Nancy", "Rachel", "Rebecca",
    "Sarah", "Susan",
)  # fmt: skip

PRONOUN_TEXTS: tuple[str, ...] = (
    "So {NAME} is a really great friend, isn't",
    "So {NAME} is such a good cook, isn't",
    "So {NAME} was a very kind teacher, wasn't",
    "So {NAME} is quite a strong player, isn't",
    "So {NAME} was late for work again, wasn't",
    "So {NAME} can really sing well, can't",
    "So {NAME} will come to the party, won't",
    "So {NAME} has read the whole book, hasn't",
    "So {NAME} is the new doctor here, isn't",
    "So {NAME} was the first to leave, wasn't",
    "So {NAME} would like to help us, wouldn't",
    "So {NAME} could see the house, couldn't",
)

SUBJECTS: dict[str, str] = {
    "author": "authors", "book": "books", "car": "cars", "chair": "chairs", "door": "doors", "key": "keys",
    "letter": "letters", "map": "maps", "picture": "pictures", "report": "reports", "road": "roads", "sign": "signs",
    "story": "stories", "table": "tables", "ticket": "tickets", "window": "windows",
}  # fmt: skip

ATTRACTORS: dict[str, str] = {
    "boat": "boats", "bridge": "bridges", "church": "churches", "friend": "friends", "garden": "gardens",
    "hotel": "hotels", "house": "houses", "lake": "lakes", "museum": "museums", "office": "offices",
    "river": "rivers", "school": "schools", "shop": "shops", "store": "stores", "tree": "trees", "wall": "walls",
}  # fmt: skip

AGREEMENT_TEXTS: tuple[str, ...] = (
    "The {SUBJECT} to the {ATTRACTOR}",
    "The {SUBJECT} near the {ATTRACTOR}",
    "The {SUBJECT} behind the {ATTRACTOR}",
    "The {SUBJECT} from the {ATTRACTOR}",
    "The {SUBJECT} about the {ATTRACTOR}",
    "The {SUBJECT} of the {ATTRACTOR}",
    "We know that the {SUBJECT} by the {ATTRACTOR}",
    "They said that the {SUBJECT} for the {ATTRACTOR}",
    "I think the {SUBJECT} with the {ATTRACTOR}",
    "Today the {SUBJECT} in front of the {ATTRACTOR}",
    "As you see, the {SUBJECT} beside the {ATTRACTOR}",
    "It seems that the {SUBJECT} across from the {ATTRACTOR}",
)

ARGUMENTS: tuple[str, ...] = (
    "action", "address", "array", "client", "code", "command", "config", "content", "context", "count",
    "data", "default", "event", "field", "file", "files", "filter", "format", "group", "header",
    "image", "index", "input", "item", "key", "label", "length", "level", "limit", "line",
    "list", "load", "message", "method", "mode", "model", "module", "name", "node", "number",
    "object", "option", "order", "output", "page", "parent", "path", "port", "position", "project",
    "range", "request", "response", "result", "role", "rule", "scale", "server", "shape", "size",
    "source", "state", "status", "step", "string", "table", "target", "task", "test", "text",
    "time", "title", "token", "type", "user", "value", "version", "view", "width", "window",
)  # fmt: skip

DESCRIPTION: tuple[str, ...] = (
    "air", "army", "art", "bank", "beauty", "bird", "blood", "boat", "body", "bread",
    "city", "crime", "dark", "death", "dinner", "door", "dream", "earth", "energy", "fire",
    "fish", "food", "friend", "garden", "gold", "green", "hand", "heart", "horse", "house",
    "island", "king", "lake", "law", "light", "love", "money", "moon", "mother", "music",
    "night", "oil", "people", "piece", "river", "road", "school", "sea", "story", "summer",
    "sun", "tree", "truth", "unit", "war", "water", "weather", "winter", "woman", "world",
)  # fmt: skip
