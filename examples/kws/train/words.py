"""What the synthesised corpus says."""

from pathlib import Path

LABELS = (Path(__file__).parent.parent / "labels.txt").read_text().split()
KEYWORDS = LABELS[:-2]

# Words that are not keywords; some sound rather like one, on purpose. Words
# that sound the same ("know", "write") would be unfair, and with the nearest
# neighbours ("town", "pup", "goat") in here, the keyword itself was refused
# when a new voice said it.
TRAIN_UNKNOWN = """
    zero one two three four five six seven eight nine ten eleven twelve
    bed bird cat dog tree house happy marvin sheila wow backward follow learn
    apple water table window music garden river summer winter paper doctor
    people money morning evening yellow purple orange silver black white blue
    hello please sorry thanks maybe never always again under over before
    light play pause volume louder quiet open close start lock unlock call
    set get let less guess yet yard yell chess mess
    snow slow low toe gold ghost boat road
    cup but luck hut bus shop step drop stuff spot
    brown around
    lift laugh left-over lap lip loft soft cough golf of awful
    ride bright fright like rice wide sight
    arm on-time own in an and aunt honey
    car phone radio number address kitchen bedroom student teacher letter
    message picture coffee sugar bottle pocket market engine battery camera
""".split()

# None of these is heard in training.
TEST_UNKNOWN = """
    forward visual elephant tomato seven-teen monday friday hundred thousand
    lamp door mirror chair pencil bridge mountain ocean island forest
    green grey pink blanket carpet
    cancel enter repeat record answer finish hurry
    nest yeast note no-body gone go-kart stole stamp
    don dog-house lost list write-off rain
    upper puppy offer author often
""".split()
