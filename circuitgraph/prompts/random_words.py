"""The words of repeated random sequences. Data only: no imports, no effects.

Each is a common noun that GPT-2 reads as one token after a space, and one word of induction-mini's vocabulary.
"""

RANDOM_WORDS: tuple[str, ...] = (
    "apple", "bag", "ball", "basket", "beach", "bird", "boat", "book", "bottle", "box",
    "bridge", "camera", "card", "chair", "church", "clock", "cloud", "coat", "coin", "cup",
    "dog", "door", "drum", "factory", "farm", "fish", "flower", "garden", "gift", "hat",
    "horse", "hospital", "hotel", "house", "island", "key", "kitchen", "lamp", "letter", "library",
    "map", "market", "moon", "museum", "office", "paper", "park", "phone", "picture", "restaurant",
    "ring", "river", "school", "shop", "station", "stone", "store", "table", "theater", "ticket",
    "toy", "tree", "watch", "window",
)  # fmt: skip
