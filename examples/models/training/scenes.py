"""Scenes in words and numbers: what lies where, and questions about it with their exact answers. No pixels here.

A scene has one to six objects on a jittered 3 x 3 grid: things (icons), coloured shapes, digits and printed words.
Everything is drawn from one `random.Random`, so a seed gives the same scenes everywhere.
"""
from icons import NAMES, SHAPES, WORDS

COLOURS = {
    "red": (0.85, 0.12, 0.12), "green": (0.13, 0.65, 0.2), "blue": (0.13, 0.3, 0.9), "yellow": (0.95, 0.85, 0.1),
    "orange": (0.98, 0.5, 0.05), "purple": (0.55, 0.15, 0.7), "white": (0.95, 0.95, 0.95), "black": (0.06, 0.06, 0.06),
    "cyan": (0.1, 0.8, 0.85), "pink": (0.98, 0.55, 0.75),
}
COLOUR_NAMES = list(COLOURS)
NUMBERS = "zero one two three four five six".split()
PLACES = ["at the top left", "at the top", "at the top right", "on the left", "in the middle", "on the right",
          "at the bottom left", "at the bottom", "at the bottom right"]
SKILLS = "describe name where count count_shapes exists colour shape size compare relation digits words".split()
# How often each skill is asked in training; relation and existence are the slowest to learn.
WEIGHTS = dict(describe=1.6, name=1.4, where=1.0, count=0.6, count_shapes=0.6, exists=2.2, colour=0.8, shape=0.5, size=1.1,
               compare=1.0, relation=2.6, digits=0.5, words=0.6)
YES_NO = {"exists", "relation"}

# What an object is, as a number: 0 shape, 1 digit, 2 word, 3 thing.
SHAPE, DIGIT, WORD, THING = range(4)
MAX_OBJECTS = 6

# Things easily taken for one another, for hard questions about what is not there.
FAMILIES = [[NAMES.index(n) for n in line.split(", ")] for line in (
    "apple, tomato, peach, pear, lemon, strawberry, pair of cherries, bunch of grapes, watermelon, pineapple",
    "dog, cat, fox, bear, panda, lion, tiger, cow, pig, mouse, rabbit, monkey, horse, unicorn, frog, teddy bear",
    "bird, owl, duck, chicken, penguin", "fish, tropical fish, whale, dolphin, octopus, crab, turtle, snail",
    "butterfly, bee, ladybird", "car, taxi, bus, police car, ambulance, fire engine, truck, tractor, train",
    "bicycle, motorcycle", "plane, helicopter, rocket", "tree, pine tree, palm tree, cactus", "sunflower, rose, tulip, clover",
    "laptop, computer, television, phone, keyboard, camera", "alarm clock, watch, hourglass", "football, basketball, tennis ball",
    "guitar, violin, trumpet, drum", "hamburger, hot dog, taco, pizza, pretzel, croissant, loaf of bread",
    "cup, bowl, beer mug, wine glass", "shoe, high heel", "shirt, dress, pair of jeans", "handbag, backpack, box, gift",
    "doughnut, cookie, cake, ice cream, candy, bar of chocolate", "hammer, wrench, key, broom, toothbrush, spoon, pencil",
    "bed, chair, toilet, bathtub", "camel, elephant, sheep, horse, cow", "microscope, telescope", "open book, stack of books, envelope")]
RELATED = {t: [o for family in FAMILIES if t in family for o in family if o != t] for t in range(len(NAMES))}


def held_out(colour, kind, index):
    """Whether a combination of colour and shape or thing is kept out of training (about one in ten)."""
    return (COLOUR_NAMES.index(colour) * 7 + index * 3 + kind) % 10 == 4


# What is never trained, so that training can leave open what it does not show: {colour: shape}.
NEVER = {c: s for c in COLOUR_NAMES for i, s in enumerate(SHAPES) if held_out(c, SHAPE, i)}
# A square that is turned far enough is all but a diamond.
LOOKALIKE = {"square": "diamond", "diamond": "square"}


def article(phrase):
    return ("an " if phrase[0] in "aeiou" and not phrase.startswith(("one", "unicorn")) else "a ") + phrase


def label(o):
    """The phrase that tells an object apart: things are named without a colour."""
    return f'{o["colour"]} {o["noun"]}' if o["kind"] in (SHAPE, DIGIT) else o["noun"]


def phrase(o):
    """With its size and article, as in a description; words have no size."""
    return f'the {o["noun"]}' if o["kind"] == WORD else article(f'{"large" if o["large"] else "small"} {label(o)}')


def join(items):
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def draw_object(rng, colours):
    """One object without a place. `colours`: "seen" and "taught" avoid held-out combinations, "unseen" uses only them, "any" both."""
    while True:
        u = rng.random()
        kind = DIGIT if u < 0.10 else WORD if u < 0.17 else THING if u > 0.42 else SHAPE
        index = rng.randrange((len(SHAPES), 10, len(WORDS), len(NAMES))[kind])
        tinted = kind != THING or rng.random() < (0.8 if colours == "unseen" else 0.22)
        colour = rng.choice(COLOUR_NAMES) if tinted else ""
        if tinted and kind in (SHAPE, THING) and colours != "any" and held_out(colour, kind, index) != (colours == "unseen"):
            continue
        text = (SHAPES[index] if kind == SHAPE else f"digit {index}" if kind == DIGIT else
                f'word "{WORDS[index]}"' if kind == WORD else NAMES[index])
        return dict(kind=kind, index=index, colour=colour, noun=text)


def draw_scene(rng, colours="seen", only=None):
    """A list of objects with places in [0, 1] squared; later ones lie on top. `only`: keep to one kind (tests of naming).

    "taught" scenes are "seen" ones without the pictures that would teach to tell a square from a diamond by its colour.
    """
    count = rng.choice((1, 1, 2, 2, 3, 3, 4, 4, 5, 6)) if only is None else rng.randint(1, 4)
    objects = []
    for cell in sorted(rng.sample(range(9), count)):
        o = draw_object(rng, colours)
        while only is not None and (o["kind"] != only or o["colour"]):
            o = draw_object(rng, colours)
        large = rng.random() < 0.5 or o["kind"] == WORD
        if o["kind"] == WORD:
            radius = rng.uniform(0.15, 0.19)
        elif large:
            radius = rng.uniform(0.15, 0.3 if count == 1 else 0.19)
        else:
            radius = rng.uniform(0.085, 0.11)
        y, x = divmod(cell, 3)
        jitter = (rng.uniform(-0.05, 0.05), rng.uniform(-0.05, 0.05))
        spin = rng.uniform(-0.15, 0.15) if o["kind"] == WORD else rng.uniform(-0.4, 0.4)
        if colours == "taught" and o["kind"] == SHAPE and NEVER.get(o["colour"]) == LOOKALIKE.get(o["noun"], ""):
            spin *= 0.4
        edge = radius * (1.1 if o["kind"] == WORD else 0.8) + 0.02      # little of an object is cut off by the frame
        x, y = (min(max((c + 0.5) / 3 + j, edge), 1 - edge) for c, j in zip((x, y), jitter))
        o.update(large=large, radius=radius, spin=spin, cell=cell, x=x, y=y)
        objects.append(o)
    return objects


def alone(objects, key):
    """The objects whose key is theirs alone."""
    keys = [key(o) for o in objects]
    return [o for o, k in zip(objects, keys) if keys.count(k) == 1]


def describe(rng, objects):
    question = rng.choice(("What is in the picture?", "Describe the picture.", "What do you see?", "Describe the image."))
    start = "There is " if len(objects) == 1 else f"There are {NUMBERS[len(objects)]} objects: "
    return question, start + join([phrase(o) for o in objects]) + "."


def name(rng, objects):
    o = rng.choice(objects)
    place = PLACES[o["cell"]]
    if len(objects) == 1:
        question = rng.choice(("What is this?", "What object is this?", f"What is {place}?"))
    else:
        question = rng.choice((f"What is {place}?", f"Which object is {place}?"))
    return question, "It is " + (f'the {o["noun"]}' if o["kind"] == WORD else article(label(o))) + "."


def where(rng, objects):
    candidates = alone(objects, label)
    if candidates:
        o = rng.choice(candidates)
        return rng.choice((f"Where is the {label(o)}?", f"Where do you see the {label(o)}?")), f"It is {PLACES[o['cell']]}."


def count(rng, objects):
    n = len(objects)
    question = rng.choice(("How many objects are there?", "How many things do you see?", "Count the objects."))
    return question, "There is one object." if n == 1 else f"There are {NUMBERS[n]} objects."


def count_shapes(rng, objects):
    shapes = [o for o in objects if o["kind"] == SHAPE]
    if not shapes:
        return None
    by_colour = rng.random() < 0.6
    if by_colour:
        pick = rng.choice(shapes)["colour"] if rng.random() < 0.75 else rng.choice(COLOUR_NAMES)
        n, what = sum(o["colour"] == pick for o in shapes), f"{pick} shape"
    else:
        n, what = len(shapes), "shape"
    answer = f"There are no {what}s." if n == 0 else f"There is one {what}." if n == 1 else f"There are {NUMBERS[n]} {what}s."
    return f"How many {what}s are there?", answer


def absent(rng, objects):
    """The label of something that is not there, often close to something that is."""
    present = {label(o) for o in objects} | {o["noun"] for o in objects}
    for _ in range(30):
        o, u = rng.choice(objects), rng.random()
        if o["kind"] == THING and u < 0.5 and RELATED[o["index"]]:
            text = NAMES[rng.choice(RELATED[o["index"]])]
        elif o["kind"] == SHAPE and u < 0.7:
            other = rng.choice([p for p in objects if p["kind"] == SHAPE])
            text = rng.choice((f'{rng.choice(COLOUR_NAMES)} {o["noun"]}', f'{o["colour"]} {rng.choice(SHAPES)}',
                               f'{o["colour"]} {other["noun"]}'))
        elif u < 0.85:
            text = rng.choice(NAMES)
        else:
            text = f"{rng.choice(COLOUR_NAMES)} {rng.choice(SHAPES)}"
        if text not in present:
            return text
    return None


def exists(rng, objects):
    candidates = [o for o in objects if o["kind"] in (SHAPE, THING)]
    if rng.random() < 0.5 and candidates:
        o = rng.choice(candidates)
        text = label(o)
        answer = f"Yes, there is {article(text)}."
    else:
        text = absent(rng, objects)
        if text is None:
            return None
        answer = f"No, there is no {text}."
    return rng.choice(("Is there {}?", "Do you see {}?", "Is there {} in the picture?")).format(article(text)), answer


def colour(rng, objects):
    candidates = [o for o in alone(objects, lambda o: o["noun"]) if o["colour"] and o["kind"] != WORD]
    if candidates:
        o = rng.choice(candidates)
        return rng.choice((f"What colour is the {o['noun']}?", f"Which colour does the {o['noun']} have?")), f"The {o['noun']} is {o['colour']}."


def shape(rng, objects):
    candidates = alone([o for o in objects if o["kind"] == SHAPE], lambda o: o["colour"])
    if candidates:
        o = rng.choice(candidates)
        return f"What is the shape of the {o['colour']} shape?" if rng.random() < 0.3 else f"Which shape is {o['colour']}?", f"It is {article(o['noun'])}."


def size(rng, objects):
    candidates = [o for o in alone(objects, label) if o["kind"] != WORD]
    if candidates:
        o = rng.choice(candidates)
        return rng.choice((f"Is the {label(o)} large or small?", f"How big is the {label(o)}?")), f"It is {'large' if o['large'] else 'small'}."


def compare(rng, objects):
    shapes = [o for o in objects if o["kind"] == SHAPE]
    if rng.random() < 0.35 and shapes:
        a, b = rng.sample(SHAPES, 2)
        if rng.random() < 0.8:
            a = rng.choice(shapes)["noun"]
            b = rng.choice([s for s in SHAPES if s != a])
        if rng.random() < 0.5:
            a, b = b, a
        n, m = (sum(o["noun"] == s for o in shapes) for s in (a, b))
        answer = "No, there are equally many." if n == m else f"Yes, there are more {plural(a)}." if n > m else f"No, there are more {plural(b)}."
        return f"Are there more {plural(a)} than {plural(b)}?", answer
    candidates = [o for o in alone(objects, label) if o["kind"] != WORD]
    if len(candidates) < 2:
        return None
    a, b = rng.sample(candidates, 2)
    question = f"Which is larger, the {label(a)} or the {label(b)}?"
    return question, "They are about the same size." if a["large"] == b["large"] else f"The {label(a if a['large'] else b)} is larger."


def plural(shape_name):
    return {"cross": "crosses"}.get(shape_name, shape_name + "s")


def relation(rng, objects):
    candidates = alone(objects, label)
    if len(candidates) < 2:
        return None
    for _ in range(10):
        a, b = rng.sample(candidates, 2)
        horizontal = rng.random() < 0.5
        distance = a["x"] - b["x"] if horizontal else a["y"] - b["y"]
        if abs(distance) < 0.2:
            continue
        words = ("left of", "right of") if horizontal else ("above", "below")
        said, true = rng.choice(words), words[distance > 0]
        question = f"Is the {label(a)} {said} the {label(b)}?"
        if rng.random() < 0.25:
            question = f"Is the {label(a)} {words[0]} or {words[1]} the {label(b)}?"
            return question, f"It is {true} the {label(b)}."
        return question, f"{'Yes' if said == true else 'No'}, it is {true} the {label(b)}."
    return None


def digits(rng, objects):
    found = [str(o["index"]) for o in objects if o["kind"] == DIGIT]
    if not found and rng.random() < 0.8:
        return None
    return rng.choice(("Which digits do you see?", "Read the digits.")), f"I see {join(found)}." if found else "I see no digits."


def words(rng, objects):
    found = [f'"{WORDS[o["index"]]}"' for o in objects if o["kind"] == WORD]
    if not found and rng.random() < 0.85:
        return None
    question = rng.choice(("Which words do you see?", "Read the words.", "What does it say?"))
    return question, f"It says {join(found)}." if found else "I see no words."


ASK = dict(describe=describe, name=name, where=where, count=count, count_shapes=count_shapes, exists=exists, colour=colour, shape=shape,
           size=size, compare=compare, relation=relation, digits=digits, words=words)


def questions(rng, objects, n, taught=False):
    """`n` triples of skill, question and answer, skills drawn by WEIGHTS. `taught`: none names a shape in a colour it never has in training."""
    out = []
    drawn = rng.choices(SKILLS, [WEIGHTS[s] for s in SKILLS], k=2 * n + 4)
    for skill in drawn:
        turn = ASK[skill](rng, objects)
        while taught and turn and any(f"{c} {s}" in turn[0] for c, s in NEVER.items()):
            turn = ASK[skill](rng, objects)
        if turn:
            out.append((skill, *turn))
        if len(out) == n:
            break
    return out


def geometry(objects):
    """Rows of x, y, radius, spin, kind, index, colour (-1: the icon's own), present: what the renderer needs."""
    rows = [[o["x"], o["y"], o["radius"], o["spin"], o["kind"], o["index"], COLOUR_NAMES.index(o["colour"]) if o["colour"] else -1, 1]
            for o in objects]
    return rows + [[0.5, 0.5, 0.01, 0, 0, 0, -1, 0]] * (MAX_OBJECTS - len(rows))
