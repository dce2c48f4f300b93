"""Draw things.png, the sprites of the scene camera: things.txt's icons, then eight shapes, then the digits 0 to 9.

    mkdir -p sets/fluent-emoji-flat && (cd sets/fluent-emoji-flat && npm pack --silent @iconify-json/fluent-emoji-flat && tar xzf *.tgz)
    python make_sheet.py sets
    needs: pip install numpy pillow resvg-py matplotlib (for its DejaVu fonts)

Sprites are 64 x 64 pixels, ten a row. Shapes and digits are white, and tinted when they are drawn. They are rasterised by the
same code as those that the scene model was trained on.
"""
import sys
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[4] / "examples/models/training"))
import icons  # noqa: E402

COLUMNS = 10


def sprites(folder):
    flat, licence = icons.load_set(folder, "fluent-emoji-flat")
    print(licence)
    for thing in (HERE / "things.txt").read_text().splitlines():
        yield Image.fromarray(icons.rasterise(flat, icons.find(flat, "fluent-emoji-flat", thing)[0]))
    masks = [icons.shape_mask(shape) for shape in icons.SHAPES] + [icons.text_mask(str(digit), "DejaVuSans-Bold") for digit in range(10)]
    for mask in masks:
        white = Image.new("RGBA", (icons.SIZE, icons.SIZE), "white")
        white.putalpha(Image.fromarray(mask))
        yield white


def main(folder):
    drawn = list(sprites(folder))
    sheet = Image.new("RGBA", (COLUMNS * icons.SIZE, -(-len(drawn) // COLUMNS) * icons.SIZE))
    for at, sprite in enumerate(drawn):
        # What is wholly transparent has no colour, so that it compresses to nothing.
        clear = Image.new("RGBA", sprite.size)
        clear.paste(sprite, (0, 0), sprite.getchannel("A").point(lambda a: 255 if a else 0))
        sheet.paste(clear, (at % COLUMNS * icons.SIZE, at // COLUMNS * icons.SIZE))
    sheet.save(HERE / "things.png", optimize=True)
    print(f"{len(drawn)} sprites, {(HERE / 'things.png').stat().st_size} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
