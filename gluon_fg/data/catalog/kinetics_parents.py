"""The 38 parent classes of Kinetics-400 (Kay et al. 2017, arXiv:1705.06950, appendix), as DFB's analysis reads them.

Martinez et al. (2019) report accuracy by these meta-categories (their table 2 and figure 3). Parents overlap: 330 of
the 400 classes have one, 56 have two, and the 14 of weight training and exercises none.
"""

from __future__ import annotations

from typing import Dict, FrozenSet, Sequence, Tuple

from ...errors import UserError
from ..labels import LabelSet, spelled

EXERCISE = 'exercise'  # our name for what the appendix puts nowhere

_TABLE = """
arts and crafts: arranging flowers, blowing glass, brush painting, carving pumpkin, clay pottery making, decorating
  the christmas tree, drawing, getting a tattoo, knitting, making jewelry, spray painting, weaving basket
athletics - jumping: high jump, hurdling, long jump, parkour, pole vault, triple jump
athletics - throwing + launching: archery, catching or throwing frisbee, disc golfing, hammer throw, javelin throw,
  shot put, throwing axe, throwing ball, throwing discus
auto maintenance: changing oil, changing wheel, checking tires, pumping gas
ball sports: bowling, catching or throwing baseball, catching or throwing softball, dodgeball, dribbling basketball,
  dunking basketball, golf chipping, golf driving, golf putting, hitting baseball, hurling (sport), juggling soccer
  ball, kicking field goal, kicking soccer ball, passing American football (in game), passing American football (not
  in game), playing basketball, playing cricket, playing kickball, playing squash or racquetball, playing tennis,
  playing volleyball, shooting basketball, shooting goal (soccer), shot put
body motions: air drumming, applauding, baby waking up, bending back, clapping, cracking neck, drumming fingers,
  finger snapping, headbanging, headbutting, pumping fist, shaking head, stretching arm, stretching leg, swinging
  legs
cleaning: cleaning floor, cleaning gutters, cleaning pool, cleaning shoes, cleaning toilet, cleaning windows, doing
  laundry, making bed, mopping floor, setting table, shining shoes, sweeping floor, washing dishes
cloths: bandaging, doing laundry, folding clothes, folding napkins, ironing, making bed, tying bow tie, tying knot
  (not on a tie), tying tie
communication: answering questions, auctioning, bartending, celebrating, crying, giving or receiving award,
  laughing, news anchoring, presenting weather forecast, sign language interpreting, testifying
cooking: baking cookies, barbequing, breading or breadcrumbing, cooking chicken, cooking egg, cooking on campfire,
  cooking sausages, cutting pineapple, cutting watermelon, flipping pancake, frying vegetables, grinding meat,
  making a cake, making a sandwich, making pizza, making sushi, making tea, peeling apples, peeling potatoes,
  picking fruit, scrambling eggs, tossing salad
dancing: belly dancing, breakdancing, cheerleading, country line dancing, dancing ballet, dancing charleston,
  dancing gangnam style, dancing macarena, jumpstyle dancing, krumping, marching, robot dancing, salsa dancing,
  swing dancing, tango dancing, tap dancing, zumba
eating + drinking: bartending, dining, drinking, drinking beer, drinking shots, eating burger, eating cake, eating
  carrots, eating chips, eating doughnuts, eating hotdog, eating ice cream, eating spaghetti, eating watermelon,
  opening bottle, tasting beer, tasting food
electronics: assembling computer, playing controller, texting, using computer, using remote controller (not gaming)
garden + plants: blowing leaves, carving pumpkin, chopping wood, climbing tree, decorating the christmas tree, egg
  hunting, mowing lawn, planting trees, trimming trees, watering plants
golf: golf chipping, golf driving, golf putting
gymnastics: bouncing on trampoline, cartwheeling, gymnastics tumbling, somersaulting, vault
hair: braiding hair, brushing hair, curling hair, dying hair, fixing hair, getting a haircut, shaving head, shaving
  legs, trimming or shaving beard, washing hair, waxing back, waxing chest, waxing eyebrows, waxing legs
hands: air drumming, applauding, clapping, cutting nails, doing nails, drumming fingers, finger snapping, pumping
  fist, washing hands
head + mouth: balloon blowing, beatboxing, blowing nose, blowing out candles, brushing teeth, gargling, headbanging,
  headbutting, shaking head, singing, smoking, smoking hookah, sneezing, sniffing, sticking tongue out, whistling,
  yawning
heights: abseiling, bungee jumping, climbing a rope, climbing ladder, climbing tree, diving cliff, ice climbing,
  jumping into pool, paragliding, rock climbing, skydiving, slacklining, springboard diving, swinging on something,
  trapezing
interacting with animals: bee keeping, catching fish, feeding birds, feeding fish, feeding goats, grooming dog,
  grooming horse, holding snake, ice fishing, milking cow, petting animal (not cat), petting cat, riding camel,
  riding elephant, riding mule, riding or walking with horse, shearing sheep, training dog, walking the dog
juggling: contact juggling, hula hooping, juggling balls, juggling fire, juggling soccer ball, spinning poi
makeup: applying cream, doing nails, dying hair, filling eyebrows, getting a tattoo
martial arts: arm wrestling, capoeira, drop kicking, high kick, punching bag, punching person (boxing), side kick,
  sword fighting, tai chi, wrestling
miscellaneous: digging, extinguishing fire, garbage collecting, laying bricks, moving furniture, spraying, stomping
  grapes, tapping pen, unloading truck
mobility - land: crawling baby, driving car, driving tractor, faceplanting, hoverboarding, jogging, motorcycling,
  parkour, pushing car, pushing cart, pushing wheelchair, riding a bike, riding mountain bike, riding scooter,
  riding unicycle, roller skating, running on treadmill, skateboarding, surfing crowd, using segway, waiting in line
mobility - water: crossing river, diving cliff, jumping into pool, scuba diving, snorkeling, springboard diving,
  swimming backstroke, swimming breast stroke, swimming butterfly stroke, water sliding
music: beatboxing, busking, playing accordion, playing bagpipes, playing bass guitar, playing cello, playing
  clarinet, playing cymbals, playing didgeridoo, playing drums, playing flute, playing guitar, playing harmonica,
  playing harp, playing keyboard, playing organ, playing piano, playing recorder, playing saxophone, playing
  trombone, playing trumpet, playing ukulele, playing violin, playing xylophone, recording music, singing, strumming
  guitar, tapping guitar, whistling
paper: bookbinding, counting money, folding napkins, folding paper, opening present, reading book, reading
  newspaper, ripping paper, shredding paper, unboxing, wrapping present, writing
personal hygiene: brushing teeth, taking a shower, trimming or shaving beard, washing feet, washing hair, washing
  hands
playing games: egg hunting, flying kite, hopscotch, playing cards, playing chess, playing monopoly, playing
  paintball, playing poker, riding mechanical bull, rock scissors paper, shuffling cards, skipping rope, tossing
  coin
racquet + bat sports: catching or throwing baseball, catching or throwing softball, hitting baseball, hurling
  (sport), playing badminton, playing cricket, playing squash or racquetball, playing tennis
snow + ice: biking through snow, bobsledding, hockey stop, ice climbing, ice fishing, ice skating, making snowman,
  playing ice hockey, shoveling snow, ski jumping, skiing (not slalom or crosscountry), skiing crosscountry, skiing
  slalom, sled dog racing, snowboarding, snowkiting, snowmobiling, tobogganing
swimming: swimming backstroke, swimming breast stroke, swimming butterfly stroke
touching person: carrying baby, hugging, kissing, massaging back, massaging feet, massaging legs, massaging person's
  head, shaking hands, slapping, tickling
using tools: bending metal, blasting sand, building cabinet, building shed, changing oil, changing wheel, checking
  tires, plastering, pumping gas, sanding floor, sharpening knives, sharpening pencil, welding
water sports: canoeing or kayaking, jetskiing, kitesurfing, parasailing, sailing, surfing water, water skiing,
  windsurfing
waxing: waxing back, waxing chest, waxing eyebrows, waxing legs
"""


def _parents() -> Dict[str, Tuple[str, ...]]:
    table: Dict[str, Tuple[str, ...]] = {}
    for line in _TABLE.strip().replace('\n  ', ' ').splitlines():
        parent, _, children = line.partition(': ')
        table[parent] = tuple(children.split(', '))
    return table


PARENTS = _parents()  # official names of the classes of each parent, alphabetical; a class may be in several


def parent_members(labels: LabelSet) -> Dict[str, FrozenSet[int]]:
    """Tell the labels of the classes of each parent; a class may be in two.

    Raises
    ------
    UserError
        classes that are not those of Kinetics-400
    """
    members = {}
    for parent, children in PARENTS.items():
        members[parent] = frozenset(label for label in map(labels.find, children) if label is not None)
        if len(members[parent]) < len(children):
            raise UserError(
                f'parents are those of the 400 classes of Kinetics-400, from abseiling to zumba; here are '
                f'{len(labels)}, from {labels.classes[0]} to {labels.classes[-1]}'
            )
    return members


def parent_groups(classes: Sequence[str]) -> Tuple[str, ...]:
    """Give each class of Kinetics-400 one group, its smallest parent: (M,) names of the 38, or 'exercise'.

    Of two parents the smaller says more: 'waxing legs' is waxing and not hair, 'playing tennis' is a racquet sport and
    not just a ball sport, 'swimming backstroke' is swimming: the members that Martinez et al. (2019, sec. 5.2) name.
    """
    smallest: Dict[str, str] = {}
    for parent in sorted(PARENTS, key=lambda name: -len(PARENTS[name])):
        smallest.update({spelled(child): parent for child in PARENTS[parent]})
    return tuple(smallest.get(spelled(name), EXERCISE) for name in classes)
