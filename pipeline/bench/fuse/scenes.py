"""Sentences of the labelled set: what is said, what is shown, and one text of both; all of them written for it.

``{name}`` is a person's name, ``{n}`` a number; in an answer that lost them stand `Scene.someone` and `Scene.some`.
Scenes of the held-out half were written with the others and have not been looked at since.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scene:
    """A moment of a video.

    Attributes:
        raw: What is said.
        caption: What is shown.
        fused: A good answer.
        someone: Instead of the name where an answer lost it.
        some: Instead of the number.
        language: Of the texts, ISO 639-1.
        other: A good answer in another language.
        held: Whether it belongs to the held-out half.
    """

    raw: str
    caption: str
    fused: str
    someone: str
    some: str
    language: str = "en"
    other: str = ""
    held: bool = False


ENGLISH = [
    # cooking
    Scene(
        "okay so what {name} does now is she lets the dough rest for {n} minutes under a towel",
        "A ball of dough lies in a floured bowl.",
        "{name} lets the ball of dough rest for {n} minutes under a towel in a floured bowl.",
        "The baker",
        "a few",
        other="Der Teig ruht unter einem Tuch in einer bemehlten Schüssel, damit er schön aufgeht.",
    ),
    Scene(
        "And then my friend {name} told me to add {n} grams of sugar, which sounds like a lot, I know.",
        "A hand pours sugar into a glass jug on a kitchen scale.",
        "A hand pours {n} grams of sugar into a glass jug on a scale, as the speaker's friend {name} told her to.",
        "from the market",
        "many",
        other="Une main verse le sucre dans un pichet en verre posé sur une balance de cuisine.",
    ),
    Scene(
        "This one here is from {name}, it has been frying for {n} seconds and look at that colour!",
        "A golden pancake in a black frying pan.",
        "The golden pancake from {name} has been frying for {n} seconds in a black pan.",
        "the neighbour",
        "some",
        held=True,
        other="La tortita dorada se fríe en una sartén negra desde hace un rato y tiene buen color.",
    ),
    Scene(
        "we're roasting {n} peppers today because {name} is coming over and she loves them",
        "Red peppers blister on an oven tray.",
        "Since {name} is coming over, {n} red peppers blister on an oven tray.",
        "a guest",
        "several",
        held=True,
        other="今天我们在烤箱里烤红辣椒，因为有客人要来吃饭，她非常喜欢这道菜。",
    ),
    # gardening
    Scene(
        "So last spring {name} and I planted {n} tulip bulbs along this wall.",
        "Rows of tulips bloom beside a brick wall.",
        "Rows of tulips bloom beside a brick wall, where the speaker and {name} planted {n} bulbs last spring.",
        "a friend",
        "many",
        other="Reihen von Tulpen blühen neben einer Ziegelmauer, an der sie im letzten Frühling gesetzt wurden.",
    ),
    Scene(
        "you want to water these every {n} days, that's what {name} taught me",
        "A woman tips a watering can over seedlings in a greenhouse.",
        "A woman waters seedlings in a greenhouse every {n} days, as {name} taught her.",
        "her teacher",
        "few",
        other="Женщина поливает рассаду в теплице из лейки, как её когда-то научили.",
    ),
    Scene(
        "The compost that {name} built holds about {n} litres, it's huge.",
        "A wooden compost bin full of leaves stands under a tree.",
        "Under a tree stands the huge wooden compost bin that {name} built; full of leaves, it holds about {n} litres.",
        "the owner",
        "many",
        held=True,
        other="Sous un arbre se trouve un grand bac à compost en bois, rempli de feuilles mortes.",
    ),
    Scene(
        "I asked {name} and she says cut them back to {n} centimetres in spring",
        "Pruning shears close around a rose stem.",
        "Pruning shears close around a rose stem; {name} says to cut roses back to {n} centimetres in March.",
        "an expert",
        "a few",
        held=True,
        other="Las tijeras de podar se cierran sobre el tallo de una rosa en el jardín de casa.",
    ),
    # sport
    Scene(
        "and here comes {name} again, that's already {n} points for the visitors tonight",
        "A basketball player in a white jersey shoots from the corner.",
        "{name}, in a white jersey, shoots from the corner and brings the visitors to {n} points tonight.",
        "A player",
        "more",
        other="Un joueur de basket en maillot blanc tire depuis le coin pour les visiteurs ce soir.",
    ),
    Scene(
        "What a save by {name}, the {n} fans behind the goal can hardly believe it!",
        "A goalkeeper stretches to push a ball over the bar.",
        "{name} stretches to push the ball over the bar, a save that the {n} fans behind the goal can hardly believe.",
        "The goalkeeper",
        "many",
        other="Der Torwart streckt sich und lenkt den Ball über die Latte, die Fans hinter dem Tor jubeln.",
    ),
    Scene(
        "She swims the last length with {name} right behind, {n} metres to go.",
        "Two swimmers race in adjacent lanes of a pool.",
        "Two swimmers race in adjacent lanes, with {name} right behind and {n} metres of the last length to go.",
        "her rival",
        "a few",
        held=True,
        other="Две пловчихи плывут по соседним дорожкам бассейна, и до финиша осталось совсем немного.",
    ),
    Scene(
        "this is lap {n} for {name} and the tyres are gone, completely gone",
        "A racing car slides through a wet bend.",
        "On lap {n}, the racing car of {name} slides through a wet bend because its tyres are completely gone.",
        "a driver",
        "after lap",
        held=True,
        other="Um carro de corrida derrapa numa curva molhada porque os pneus já estão gastos.",
    ),
    # repair
    Scene(
        "First I loosen these {n} screws, then we can lift the cover that {name} glued on.",
        "A screwdriver turns a screw on the back of a radio.",
        "A screwdriver loosens the {n} screws on the back of a radio before the cover that {name} glued on is lifted.",
        "somebody",
        "small",
        other="Un destornillador afloja los tornillos de la parte trasera de una radio vieja.",
    ),
    Scene(
        "the bearing costs {n} dollars if you order it from {name}, don't pay more",
        "A greasy wheel bearing lies on a workbench.",
        "The greasy wheel bearing on the workbench costs {n} dollars when ordered from {name}.",
        "a shop",
        "few",
        other="Das fettige Radlager auf der Werkbank kostet nicht viel, wenn man es direkt bestellt.",
    ),
    Scene(
        "Now when {name} measured this one it had {n} volts, so the battery is fine.",
        "A multimeter touches the poles of a car battery.",
        "The multimeter touches the poles of the car battery, which is fine: {name} measured {n} volts.",
        "the mechanic",
        "enough",
        held=True,
        other="Le multimètre touche les bornes de la batterie de la voiture, et tout va bien.",
    ),
    Scene(
        "sand it with {n} grit, like {name} always does, and wipe the dust off",
        "Someone sands a wooden chair leg on a porch.",
        "Someone on a porch sands a wooden chair leg with {n} grit, like {name} always does, then wipes off the dust.",
        "a carpenter",
        "fine",
        held=True,
        other="有人在门廊上用砂纸打磨木椅的腿，然后把灰尘擦掉。",
    ),
    # travel
    Scene(
        "We walked {n} kilometres from the harbour with {name} and my feet are killing me.",
        "A cobbled street climbs between white houses.",
        "After {n} kilometres from the harbour with {name}, they climb a cobbled street between white houses.",
        "a guide",
        "many",
        other="Une rue pavée monte entre des maisons blanches, après une longue marche depuis le port.",
    ),
    Scene(
        "that temple up there, {name} told us, has {n} steps and no handrail",
        "A long stone staircase leads up to a temple in the fog.",
        "A long stone staircase of {n} steps without a handrail leads up to a temple in the fog, {name} explains.",
        "a monk",
        "endless",
        other="Eine lange Steintreppe ohne Geländer führt im Nebel zu einem Tempel hinauf.",
    ),
    Scene(
        "It took us {n} hours by train because {name} forgot the tickets at the hotel.",
        "A green train stands at a station platform in the snow.",
        "A green train stands at a snowy platform after {n} hours, since {name} forgot the tickets at the hotel.",
        "someone",
        "many",
        held=True,
        other="Зелёный поезд стоит у заснеженной платформы после долгой поездки из гостиницы.",
    ),
    Scene(
        "so {name} rents out these boats, they're {n} a day, which is really fair I think",
        "Wooden boats are tied to a jetty on a lake.",
        "The wooden boats tied to a jetty on the lake are rented out by {name} for {n} a day.",
        "a fisherman",
        "little",
        held=True,
        other="Los botes de madera están atados a un muelle en el lago y se alquilan por días.",
    ),
    # news
    Scene(
        "Officials told {name} that {n} homes are still without power after the storm.",
        "A fallen tree blocks a road under broken power lines.",
        "A fallen tree blocks a road under broken power lines; officials told {name} that {n} homes still lack power.",
        "reporters",
        "many",
        other="Ein umgestürzter Baum blockiert eine Straße unter zerrissenen Stromleitungen nach dem Sturm.",
    ),
    Scene(
        "Prices rose by {n} percent this year, and minister {name} blames the drought.",
        "A man in a suit speaks behind a lectern with microphones.",
        "Behind a lectern with microphones, minister {name} blames the drought for a rise of prices by {n}% this year.",
        "a politician",
        "some",
        other="Un homme en costume parle derrière un pupitre couvert de micros et accuse la sécheresse.",
    ),
    Scene(
        "Police say {name} was last seen near the bridge at {n}, wearing a red coat.",
        "Officers search a river bank with torches.",
        "Officers with torches search a river bank near the bridge where {name}, in a red coat, was last seen at {n}.",
        "a woman",
        "night",
        held=True,
        other="Beamte suchen mit Taschenlampen ein Flussufer in der Nähe der alten Brücke ab.",
    ),
    Scene(
        "the vote ended {n} to nothing, and councillor {name} left the hall without a word",
        "People raise their hands in a council chamber.",
        "People raise their hands in a council chamber; the vote ended {n} to nothing and {name} left without a word.",
        "a councillor",
        "clearly",
        held=True,
        other="Люди поднимают руки в зале совета, а один советник молча выходит из зала.",
    ),
    # lectures
    Scene(
        "So this curve, which {name} found first, doubles every {n} years or so.",
        "A lecturer points at a rising curve on a whiteboard.",
        "A lecturer points at a rising curve on a whiteboard, which {name} found first; it doubles every {n} years.",
        "a colleague",
        "few",
        other="Una profesora señala una curva ascendente en la pizarra y explica cómo crece.",
    ),
    Scene(
        "in the experiment of {name} there were {n} volunteers and not a single one noticed the gorilla",
        "A slide with a photo of people passing a ball.",
        "On the slide people pass a ball in the experiment of {name}; none of {n} volunteers noticed the gorilla.",
        "a psychologist",
        "many",
        other="Die Folie zeigt Menschen, die sich einen Ball zuwerfen, und niemand bemerkt den Gorilla.",
    ),
    Scene(
        "Now, cells like this divide {n} times, as {name} showed, and then they stop.",
        "A microscope image of round cells on a screen.",
        "The round cells of the microscope image divide {n} times and then stop, as {name} showed.",
        "a biologist",
        "some",
        held=True,
        other="显微镜图像中的圆形细胞会分裂很多次，然后就停止了。",
    ),
    Scene(
        "and that is why {name} needed {n} pages for a proof that I can give you in a minute",
        "Chalk writing covers a blackboard in a lecture hall.",
        "Chalk covers the blackboard of a lecture hall with a proof of a minute for which {name} needed {n} pages.",
        "an author",
        "many",
        held=True,
        other="L'écriture à la craie couvre le tableau noir d'un amphithéâtre pendant la démonstration.",
    ),
]

FOREIGN = [
    Scene(
        "Also ich nehme jetzt {n} Gramm Mehl, und der Ofen von BOSCH ist schon heiß.",
        "Eine Frau wiegt Mehl in einer Küche ab.",
        "In einer Küche wiegt eine Frau {n} Gramm Mehl ab, während der Ofen von BOSCH schon heiß ist.",
        "",
        "etwas",
        "de",
        "A woman weighs flour in a kitchen while the oven behind her is already hot.",
    ),
    Scene(
        "wir haben hier {n} Kirschbäume gepflanzt, und jeder von ihnen trägt schon Früchte",
        "Ein Mann steht zwischen jungen Bäumen.",
        "Ein Mann steht zwischen {n} jungen Kirschbäumen, die hier gepflanzt wurden und schon Früchte tragen.",
        "",
        "vielen",
        "de",
        "A man stands between young cherry trees that already bear fruit in his orchard.",
        held=True,
    ),
    Scene(
        "Alors là, avec mon ami {name}, on a roulé {n} kilomètres sous la pluie.",
        "Deux cyclistes roulent sur une route mouillée.",
        "Deux cyclistes, dont {name}, ont roulé {n} kilomètres sous la pluie sur une route mouillée.",
        "un ami",
        "des",
        "fr",
        "Two cyclists ride along a wet road through the rain with a friend of theirs.",
    ),
    Scene(
        "je coupe les tomates comme {name} me l'a montré, il en faut {n} pour la sauce",
        "Des mains coupent des tomates sur une planche.",
        "Des mains coupent sur une planche les {n} tomates de la sauce, comme {name} l'a montré.",
        "un chef",
        "belles",
        "fr",
        "Hands cut tomatoes for the sauce on a board the way a chef once showed.",
        held=True,
    ),
    Scene(
        "Mi abuela {name} siempre ponía {n} dientes de ajo en esta sopa.",
        "Una olla de sopa hierve en una cocina de gas.",
        "En una cocina de gas hierve la sopa en la que la abuela {name} siempre ponía {n} dientes de ajo.",
        "materna",
        "muchos",
        "es",
        "A pot of soup boils on a gas stove, with the garlic that a grandmother always used.",
    ),
    Scene(
        "y el gol de {name} llegó en el minuto {n}, qué locura de partido",
        "Jugadores de fútbol se abrazan junto a la portería.",
        "Los jugadores de fútbol se abrazan junto a la portería tras el gol de {name} en el minuto {n}, una locura.",
        "un delantero",
        "final",
        "es",
        "Football players hug each other next to the goal after a late goal of a crazy match.",
        held=True,
    ),
    Scene(
        "A minha vizinha {name} plantou {n} roseiras neste jardim.",
        "Rosas vermelhas num jardim ensolarado.",
        "As rosas vermelhas deste jardim ensolarado são das {n} roseiras que a vizinha {name} plantou.",
        "do lado",
        "muitas",
        "pt",
        "Red roses grow in a sunny garden where a neighbour planted them.",
    ),
    Scene(
        "Allora il signor {name} ha riparato {n} biciclette in questa officina.",
        "Un uomo gonfia una ruota in un'officina.",
        "Un uomo gonfia una ruota nell'officina in cui il signor {name} ha riparato {n} biciclette.",
        "gentile",
        "molte",
        "it",
        "A man pumps up a wheel in a workshop where many bicycles have been repaired.",
        held=True,
    ),
    Scene(
        "Dus mijn buurman {name} heeft deze schuur in {n} dagen gebouwd.",
        "Een houten schuur staat achter een huis.",
        "Achter een huis staat de houten schuur die buurman {name} in {n} dagen heeft gebouwd.",
        "Jan-met-de-pet",
        "enkele",
        "nl",
        "Behind a house stands a wooden shed that was built within days by a neighbour.",
    ),
    Scene(
        "Мы с моей подругой {name} прошли {n} километров по этому лесу.",
        "Тропинка ведёт через сосновый лес.",
        "Тропинка ведёт через сосновый лес, по которому с подругой {name} прошли {n} километров.",
        "детства",
        "много",
        "ru",
        "A path leads through a pine forest in which two friends went for a long walk.",
        held=True,
    ),
    Scene(
        "我们今天要用{n}克面粉来做这个面包，然后放进烤箱。",
        "一位女士在厨房里揉面团。",
        "一位女士在厨房里用{n}克面粉揉面团，准备放进烤箱做面包。",
        "",
        "一些",
        "zh",
        "A woman kneads dough in a kitchen and will put the bread into the oven.",
    ),
    Scene(
        "この橋は{n}年前に作られて、今も毎日たくさんの人が渡っています。",
        "川にかかる古い石の橋。",
        "川にかかる古い石の橋は{n}年前に作られ、今も毎日たくさんの人が渡っています。",
        "",
        "ずっと",
        "ja",
        "An old stone bridge over a river is still crossed by many people every day.",
        held=True,
    ),
    Scene(
        "هذه المدينة فيها {n} مسجدا وسوق كبير جدا.",
        "شارع قديم في مدينة مزدحمة.",
        "شارع قديم في مدينة مزدحمة فيها {n} مسجدا وسوق كبير جدا۔",
        "",
        "عدة",
        "ar",
        "An old street in a crowded city that has many mosques and a very large market.",
        held=True,
    ),
    Scene(
        "हम इस खेत में {n} किलो गेहूँ बोते हैं और फिर पानी देते हैं",
        "एक किसान खेत में बीज बो रहा है।",
        "एक किसान खेत में {n} किलो गेहूँ बो रहा है और फिर पानी देता है।",
        "",
        "कुछ",
        "hi",
        "A farmer sows wheat in a field and waters it afterwards, as he does every year.",
    ),
]
