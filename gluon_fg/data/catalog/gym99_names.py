"""The 99 elements of Gym99 in the order of their labels, as mmaction2's label map has them: each behind its event."""

from __future__ import annotations

from typing import Tuple

_TABLE = """
(VT)
round-off, flic-flac with 0.5 turn on, stretched salto forward with 0.5 turn off
round-off, flic-flac on, stretched salto backward with 2 turn off
round-off, flic-flac on, stretched salto backward with 1 turn off
round-off, flic-flac on, stretched salto backward with 1.5 turn off
round-off, flic-flac on, stretched salto backward with 2.5 turn off
round-off, flic-flac on, stretched salto backward off
(FX)
switch leap with 0.5 turn
switch leap with 1 turn
split leap with 1 turn
split leap with 1.5 turn or more
switch leap (leap forward with leg change to cross split)
split jump with 1 turn
split jump (leg separation 180 degree parallel to the floor)
johnson with additional 0.5 turn
straddle pike or side split jump with 1 turn
switch leap to ring position
stag jump
2 turn with free leg held upward in 180 split position throughout turn
2 turn in tuck stand on one leg, free leg straight throughout turn
3 turn on one leg, free leg optional below horizontal
2 turn on one leg, free leg optional below horizontal
1 turn on one leg, free leg optional below horizontal
2 turn or more with heel of free leg forward at horizontal throughout turn
1 turn with heel of free leg forward at horizontal throughout turn
arabian double salto tucked
salto forward tucked
aerial walkover forward
salto forward stretched with 2 twist
salto forward stretched with 1 twist
salto forward stretched with 1.5 twist
salto forward stretched, feet land together
double salto backward stretched
salto backward stretched with 3 twist
salto backward stretched with 2 twist
salto backward stretched with 2.5 twist
salto backward stretched with 1.5 twist
double salto backward tucked with 2 twist
double salto backward tucked with 1 twist
double salto backward tucked
double salto backward piked with 1 twist
double salto backward piked
(BB)
sissone (leg separation 180 degree on the diagonal to the floor, take off two feet, land on one foot)
split jump with 0.5 turn in side position
split jump
straddle pike jump or side split jump
split ring jump (ring jump with front leg horizontal to the floor)
switch leap with 0.5 turn
switch leap (leap forward with leg change)
split leap forward
johnson (leap forward with leg change and 0.25 turn to side split or straddle pike position)
switch leap to ring position
sheep jump (jump with upper back arch and head release with feet to head height/closed Ring)
wolf hop or jump (hip angle at 45, knees together)
1 turn with heel of free leg forward at horizontal throughout turn
2 turn on one leg, free leg optional below horizontal
1 turn on one leg, free leg optional below horizontal
2 turn in tuck stand on one leg, free leg optional
salto backward tucked with 1 twist
salto backward tucked
salto backward stretched-step out (feet land successively)
salto backward stretched with legs together
salto sideward tucked, take off from one leg to side stand
free aerial cartwheel landing in cross position
salto forward tucked to cross stand
free aerial walkover forward, landing on one or both feet
jump backward, flic-flac take-off with 0.5 twist through handstand to walkover forward, also with support on one arm
flic-flac to land on both feet
flic-flac with step-out, also with support on one arm
round-off
double salto backward tucked
salto backward tucked
double salto backward piked
salto backward stretched with 2 twist
salto backward stretched with 2.5 twist
(UB)
pike sole circle backward with 1 turn to handstand
pike sole circle backward with 0.5 turn to handstand
pike sole circle backward to handstand
giant circle backward with 1 turn to handstand
giant circle backward with 0.5 turn to handstand
giant circle backward
giant circle forward with 1 turn on one arm before handstand phase
giant circle forward with 0.5 turn to handstand
giant circle forward
clear hip circle backward to handstand
clear pike circle backward with 1 turn to handstand
clear pike circle backward with 0.5 turn to handstand
clear pike circle backward to handstand
stalder backward with 1 turn to handstand
stalder backward to handstand
counter straddle over high bar to hang
counter piked over high bar to hang
(swing backward or front support) salto forward straddled to hang on high bar
(swing backward) salto forward piked to hang on high bar
(swing forward or hip circle backward) salto backward with 0.5 turn piked to hang on high bar
transition flight from high bar to low bar
transition flight from low bar to high bar
(swing forward) double salto backward tucked with 1 turn
(swing backward) double salto forward tucked
(swing forward) double salto backward stretched
"""


def _names() -> Tuple[str, ...]:
    names, event = [], ''
    for line in _TABLE.strip().splitlines():
        if len(line) == 4:
            event = line
        else:
            names.append(f'{event} {line}')
    return tuple(names)


NAMES = _names()
