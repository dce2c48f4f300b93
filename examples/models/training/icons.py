"""Rasterise everyday things from openly licensed icon sets, and letters, digits and shapes, into one sprite atlas.

    python icons.py FOLDER ATLAS.npz          FOLDER/SET/package holds an unpacked `npm pack @iconify-json/SET`
    needs: pip install numpy pillow resvg-py matplotlib (for its DejaVu and STIX fonts)

The atlas holds, as 64 x 64 pixels of 8 bits:
    things [set, thing, 64, 64, 4]   RGBA, with `has [set, thing]` saying which exist
    masks  [sprite, 64, 64]          coverage of shapes, digits (by font) and words (by font)
"""
import glob
import io
import json
import math
import sys

import numpy as np

SIZE = 64

# What we call a thing: the names that icon sets give it (the first found is taken).
THINGS = {
    "apple": "red-apple redapple", "banana": "banana", "lemon": "lemon", "bunch of grapes": "grapes",
    "strawberry": "strawberry", "pair of cherries": "cherries", "watermelon": "watermelon", "pineapple": "pineapple",
    "pear": "pear", "peach": "peach", "carrot": "carrot", "ear of corn": "ear-of-corn earofmaize", "tomato": "tomato",
    "eggplant": "eggplant aubergine", "mushroom": "mushroom", "loaf of bread": "bread", "croissant": "croissant",
    "pretzel": "pretzel", "hamburger": "hamburger", "pizza": "pizza sliceofpizza", "hot dog": "hot-dog", "taco": "taco",
    "box of fries": "french-fries frenchfries", "bowl of rice": "cooked-rice cookedrice", "ice cream": "ice-cream icecream",
    "doughnut": "doughnut", "cookie": "cookie", "cake": "birthday-cake birthdaycake", "bar of chocolate": "chocolate-bar chocolatebar",
    "candy": "candy", "cup": "hot-beverage hotbeverage", "wine glass": "wine-glass wineglass", "beer mug": "beer-mug beermug",
    "set of cutlery": "fork-and-knife forkandknife", "spoon": "spoon", "pan": "cooking", "bowl": "teacup-without-handle teacupwithouthandle",
    "dog": "dog-face dog", "cat": "cat-face cat", "mouse": "mouse-face mouse", "rabbit": "rabbit-face bunny", "fox": "fox",
    "bear": "bear", "panda": "panda pandaface", "lion": "lion leo", "tiger": "tiger-face tiger", "cow": "cow-face cowface",
    "pig": "pig-face pig", "frog": "frog", "monkey": "monkey-face monkeyface", "chicken": "chicken", "penguin": "penguin",
    "bird": "bird", "owl": "owl", "duck": "duck", "horse": "horse-face horseface", "unicorn": "unicorn", "turtle": "turtle",
    "snake": "snake", "fish": "fish", "tropical fish": "tropical-fish tropicalfish", "octopus": "octopus", "crab": "crab",
    "whale": "whale", "dolphin": "dolphin", "butterfly": "butterfly", "bee": "honeybee", "ladybird": "lady-beetle ladybeetle",
    "snail": "snail", "elephant": "elephant", "camel": "camel bactriancamel", "sheep": "ewe sheep", "car": "automobile",
    "taxi": "taxi", "bus": "bus", "police car": "police-car policecar", "ambulance": "ambulance",
    "fire engine": "fire-engine fireengine", "truck": "delivery-truck deliverytruck", "tractor": "tractor", "bicycle": "bicycle",
    "motorcycle": "motorcycle", "train": "locomotive steamlocomotive", "plane": "airplane", "helicopter": "helicopter",
    "rocket": "rocket", "sailboat": "sailboat", "anchor": "anchor", "traffic light": "vertical-traffic-light verticaltrafficlight",
    "house": "house housebuilding", "tent": "tent", "key": "key", "lock": "locked lock", "hammer": "hammer", "wrench": "wrench",
    "pair of scissors": "scissors blackscissors", "pencil": "pencil", "paperclip": "paperclip", "stack of books": "books",
    "open book": "open-book openbook", "envelope": "envelope", "box": "package", "gift": "wrapped-gift", "balloon": "balloon",
    "phone": "mobile-phone cellphone", "laptop": "laptop", "computer": "desktop-computer desktopcomputer", "keyboard": "keyboard",
    "television": "television", "camera": "camera", "light bulb": "light-bulb lightbulb", "battery": "battery",
    "alarm clock": "alarm-clock alarmclock", "watch": "watch", "hourglass": "hourglass-done hourglass", "umbrella": "umbrella",
    "pair of glasses": "glasses", "crown": "crown", "hat": "top-hat tophat", "shoe": "running-shoe mensshoe",
    "high heel": "high-heeled-shoe heels", "shirt": "t-shirt", "pair of jeans": "jeans", "dress": "dress",
    "handbag": "handbag", "backpack": "backpack schoolsatchel", "football": "soccer-ball soccerball", "basketball": "basketball",
    "tennis ball": "tennis", "trophy": "trophy", "guitar": "guitar", "trumpet": "trumpet", "violin": "violin", "drum": "drum",
    "bell": "bell", "candle": "candle", "broom": "broom", "toothbrush": "toothbrush", "bed": "bed", "chair": "chair",
    "toilet": "toilet", "bathtub": "bathtub", "door": "door", "sun": "sun sunrays", "cloud": "cloud",
    "snowman": "snowman-without-snow snowmanwithoutsnow", "tree": "deciduous-tree deciduoustree", "pine tree": "evergreen-tree evergreen",
    "palm tree": "palm-tree palmtree", "cactus": "cactus", "sunflower": "sunflower", "rose": "rose", "tulip": "tulip",
    "clover": "four-leaf-clover fourleafclover", "fire": "fire", "gem": "gem-stone gem", "bag of money": "money-bag moneybag",
    "magnet": "magnet", "telescope": "telescope", "microscope": "microscope", "teddy bear": "teddy-bear", "robot": "robot",
    "ghost": "ghost",
}
NAMES = list(THINGS)

# Colour sets that are trained on, one-colour sets that are trained on (tinted or inked), and sets for testing only.
COLOUR_SETS = "noto noto-v1 fluent-emoji fluent-emoji-flat twemoji emojione fxemoji streamline-emojis".split()
LINE_SETS = "emojione-monotone fluent-emoji-high-contrast icon-park ph tabler mdi fa6-solid lucide game-icons".split()
TEST_SETS = "openmoji emojione-v1".split()
SETS = COLOUR_SETS + LINE_SETS + TEST_SETS
EMOJI_SETS = set("emojione-monotone fluent-emoji-high-contrast".split()) | set(COLOUR_SETS) | set(TEST_SETS)

# Names of the general-purpose sets that differ from ours, and pictures that mean something else there.
GENERAL = {
    "cup": "coffee cup-hot coffee-cup mug-hot", "dog": "dog sitting-dog labrador-head", "cat": "cat",
    "phone": "smartphone cellphone device-mobile mobile mobile-screen", "car": "car city-car",
    "plane": "plane airplane", "shirt": "t-shirt shirt tshirt-crew",
    "light bulb": "lightbulb light-bulb bulb lightbulb-on", "alarm clock": "alarm alarm-clock",
    "football": "soccer ball-football football-ball soccer-ball futbol",
    "pair of scissors": "scissors content-cut scissors-cut", "house": "house home",
    "pair of glasses": "glasses eyeglasses sunglasses", "box": "package package-variant box-open",
    "gift": "gift", "television": "television tv device-tv", "computer": "desktop computer monitor",
    "laptop": "laptop device-laptop", "lock": "lock padlock", "truck": "truck",
    "shoe": "sneaker shoe-sneaker running-shoe", "high heel": "high-heel shoe-heel high-heels",
    "hat": "top-hat", "sun": "sun sunny", "pine tree": "tree-evergreen tree-pine pine-tree", "tree": "tree",
    "palm tree": "palm-tree tree-palm island", "open book": "book-open open-book",
    "gem": "diamond gem cut-diamond", "envelope": "envelope mail", "bar of chocolate": "chocolate-bar",
    "ice cream": "ice-cream", "cake": "cake birthday-cake", "rabbit": "rabbit",
    "bunch of grapes": "grapes grape fruit-grapes", "pair of cherries": "cherries cherry fruit-cherries",
    "wine glass": "wine glass-wine wine-glass", "beer mug": "beer beer-stein",
    "loaf of bread": "bread-slice bread baguette", "box of fries": "french-fries",
    "hot dog": "hotdog hot-dog", "bowl of rice": "bowl-rice rice",
    "set of cutlery": "tools-kitchen-2 fork-knife silverware-fork-knife utensils",
    "apple": "apple food-apple shiny-apple", "pear": "pear", "pineapple": "pineapple fruit-pineapple",
    "watermelon": "watermelon fruit-watermelon", "carrot": "carrot", "bee": "bee",
    "ladybird": "ladybug lady-bird", "bag of money": "money-bag sack-dollar", "police car": "police-car",
    "train": "train steam-locomotive", "sailboat": "sailboat sail-boat", "ear of corn": "corn maize",
    "pig": "pig piggy-bank", "cow": "cow", "horse": "horse horse-head", "fire engine": "fire-truck firetruck",
    "hourglass": "hourglass timer-sand", "candle": "candle", "snowman": "snowman", "stack of books": "books",
    "handbag": "handbag", "keyboard": "keyboard", "rose": "rose", "tulip": "tulip flower-tulip",
    "sheep": "sheep", "bird": "bird", "fish": "fish", "clover": "clover", "cloud": "cloud",
    "battery": "battery battery-full", "key": "key", "teddy bear": "teddy-bear", "doughnut": "donut doughnut",
    "mouse": "rat seated-mouse", "door": "door", "bathtub": "bathtub bath", "wrench": "wrench",
    "hammer": "hammer", "drum": "drum", "tennis ball": "tennis-ball ball-tennis",
    "traffic light": "traffic-light traffic-lights", "chicken": "rooster", "bowl": "bowl",
    "pan": "cooking-pot",
}
SKIP = set()  # seen on a contact sheet to mean something else
for line in ("icon-park: apple anchor alarm trumpet scissors envelope telescope keyboard donut doughnut handbag bee", "mdi: apple",
             "ph: diamond-duotone", "fa6-solid: diamond tree", "lucide: diamond", "fxemoji: leo keyboard"):
    set_name, names = line.split(": ")
    SKIP |= {(set_name, name) for name in names.split()}

SHAPES = "circle square triangle star cross diamond ring heart".split()
WORDS = ("open stop exit push pull taxi shop cafe bank park menu sale free hot cold on off yes no up down left right in out "
         "new old red blue help info room bus bar tea milk sugar salt rice fish wine beer cake egg ham jam gas oil ice zoo "
         "art book film news mail post car bike boat ship train road street lake sea sun moon star rain snow wind tree "
         "home door key lock box bag hat coat shoe bed desk lamp clock time day night week year one two ten go slow fast "
         "love hello bye dog cat cow pig hen bee fox owl bear wolf lion king queen boss team game play win").split()
FONTS = ("DejaVuSans-Bold", "DejaVuSerif-Bold", "DejaVuSansMono-Bold", "STIXGeneralBol", "DejaVuSans", "DejaVuSansMono-Oblique")


def load_set(folder, name):
    """The icons of a set, with licence and author as its own info.json states them."""
    base = f"{folder}/{name}/package"
    icons = json.load(open(f"{base}/icons.json"))
    info = json.load(open(f"{base}/info.json"))
    version = json.load(open(f"{base}/package.json"))["version"]
    return icons, dict(set=name, version=version, title=info["name"], author=info["author"]["name"], licence=info["license"]["spdx"],
                       url=info["license"].get("url", ""), source=info["author"].get("url", ""))


def find(icons, set_name, thing):
    """The icon's body and frame for a thing, following one alias, or None."""
    wanted = THINGS[thing].split()
    if set_name not in EMOJI_SETS:
        wanted = GENERAL.get(thing, thing.replace(" ", "-")).split()
        if set_name == "ph":
            wanted = [w + "-duotone" for w in wanted]
    for name in wanted:
        if (set_name, name) in SKIP:
            continue
        if name not in icons["icons"]:
            name = icons.get("aliases", {}).get(name, {}).get("parent")
        if name in icons["icons"]:
            return icons["icons"][name], name
    return None, None


def rasterise(icons, icon, size=SIZE):
    """RGBA [size, size, 4]; one-colour icons come out black."""
    import resvg_py
    from PIL import Image
    width, height = (icon.get(k, icons.get(k, 16)) for k in ("width", "height"))
    box = f'{icon.get("left", 0)} {icon.get("top", 0)} {width} {height}'
    svg = (f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box}" '
           f'width="{width}" height="{height}" color="black">{icon["body"].replace("currentColor", "#000")}</svg>')
    big = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=2 * size)))).convert("RGBA")
    out = Image.new("RGBA", (max(big.size),) * 2)
    out.paste(big, ((out.width - big.width) // 2, (out.height - big.height) // 2))
    return np.array(out.resize((size, size), Image.BOX))


def shape_mask(name, size=SIZE, oversample=4):
    """Coverage [size, size] of a coloured shape that fills [-1, 1] squared."""
    n = size * oversample
    axis = (np.arange(n) + 0.5) / n * 2 - 1
    u, v = np.meshgrid(axis, axis)
    radius, au, av = np.hypot(u, v), abs(u), abs(v)
    angle = np.arctan2(u, -v)
    sector = np.pi / 5
    bent = abs((angle + sector) % (2 * sector) - sector)
    x, y = u / 0.95, -(v - 0.12) / 0.9 + 0.05
    inside = {
        "circle": radius < 0.95, "square": np.maximum(au, av) < 0.82,
        "triangle": (v < 0.72) & (au * 1.732 - 1.0 < v) & (au * 1.732 - 0.9 < v),
        "star": radius * (np.cos(bent) + np.sin(bent) * (1 - 0.42 * math.cos(sector)) / (0.42 * math.sin(sector))) < 0.97,
        "cross": (np.minimum(au, av) < 0.3) & (np.maximum(au, av) < 0.9), "diamond": au + av < 0.97,
        "ring": abs(radius - 0.71) < 0.22, "heart": (x * x + y * y - 0.5) ** 3 - x * x * y ** 3 * 1.3 < 0,
    }[name]
    return (inside.reshape(size, oversample, size, oversample).mean((1, 3)) * 255).astype(np.uint8)


def text_mask(text, font, size=SIZE, oversample=4):
    """Coverage [size, size] of a printed text, as large as fits the width (or the height, for one digit)."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont
    path = glob.glob(f"{matplotlib.get_data_path()}/fonts/ttf/{font}.ttf")[0]
    n, points = size * oversample, 40 * oversample
    while True:
        face = ImageFont.truetype(path, points)
        left, top, right, bottom = face.getbbox(text)
        if right - left <= 0.94 * n and bottom - top <= 0.94 * n and points <= 80 * oversample or points < 20:
            break
        points -= oversample
    page = Image.new("L", (n, n))
    ImageDraw.Draw(page).text(((n - left - right) / 2, (n - top - bottom) / 2), text, font=face, fill=255)
    return np.array(page.resize((size, size), Image.BOX))


def main(folder, out):
    things = np.zeros((len(SETS), len(NAMES), SIZE, SIZE, 4), np.uint8)
    has = np.zeros((len(SETS), len(NAMES)), bool)
    licences, used = [], {}
    for s, set_name in enumerate(SETS):
        icons, licence = load_set(folder, set_name)
        for t, thing in enumerate(NAMES):
            icon, name = find(icons, set_name, thing)
            if icon is None:
                continue
            sprite = rasterise(icons, icon)
            if sprite[..., 3].mean() > 6:
                things[s, t], has[s, t] = sprite, True
                used.setdefault(set_name, []).append(f"{thing}={name}")
        licences.append(dict(licence, things=int(has[s].sum()), use="test" if set_name in TEST_SETS else "train"))
        print(licences[-1])
    masks = [shape_mask(s) for s in SHAPES]
    masks += [text_mask(str(d), f) for d in range(10) for f in FONTS]
    masks += [text_mask(w, f) for w in WORDS for f in FONTS]
    np.savez_compressed(out, things=things, has=has, masks=np.stack(masks), licences=json.dumps(licences), sets=SETS, names=NAMES)


if __name__ == "__main__":
    main(*sys.argv[1:])
