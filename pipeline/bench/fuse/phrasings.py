"""Ways in which answers go wrong, and answers that look wrong and are not; each in two halves, by whether held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Change = Callable[[str], str]
"""Of a good answer."""

Aside = Callable[[str, str, str], str]
"""An invention around a good answer, its name and its number."""

PROMPT = (
    "You are given what a person says in a video and a description of one frame. Write one fluent text that keeps the "
    "facts, names and numbers of the speech and the visible details of the description. Where the two disagree, trust "
    "the speech. Do not add anything. Answer with the text only."
)


def _small(fused: str) -> str:
    return fused[0].lower() + fused[1:]


LEAKS: dict[bool, list[Change]] = {
    False: [
        lambda fused: f"The caption says that {_small(fused)}",
        lambda fused: f"{fused} This comes from the transcript of the video.",
        lambda fused: f"New sentence: {fused}",
        lambda fused: f"In sentence 1, {_small(fused)}",
        lambda fused: f"{fused} The sentence keeps all real-world knowledge.",
        lambda fused: f"Here is the merged text: {fused}",
        lambda fused: f"{fused} I kept the facts, names and numbers of the speech.",
        lambda fused: f"Sure! {fused}",
        lambda fused: f"**Output:** {fused}",
        lambda fused: f"According to the description of the image, {_small(fused)}",
        lambda fused: f"{fused} Where the two disagree, trust the speech.",
        lambda fused: f"<answer>{fused}</answer>",
        lambda fused: f"{fused} (Note: the name was taken from the spoken words.)",
        lambda fused: f"{fused} This maintains the original meaning and grammar.",
        lambda fused: f"[Output] {fused}",
        lambda fused: f"Assistant: {fused}",
        lambda fused: f"Rewrite: {fused}",
        lambda fused: f"{fused} I followed your instructions and added nothing.",
        lambda fused: f"The transcribed speech tells us that {_small(fused)}",
        lambda fused: f"Below is the fused paragraph.\n\n{fused}",
        lambda fused: f"{fused} Reasoning: the first input has the facts, the second one the looks.",
        lambda fused: f"[FUSED TEXT] {fused}",
        lambda fused: f"Final caption of the frame: {fused}",
        lambda fused: f"{fused} As instructed, nothing was added to the two texts.",
        lambda fused: f"Combining what is said with what is seen in the picture description, {_small(fused)}",
        lambda fused: f"Here is a fluent paragraph that merges them: {fused}",
        lambda fused: f"{fused} [End of text]",
        lambda fused: f"Response: {fused}",
        lambda fused: f"Speaker's words and caption agree that {_small(fused)}",
        lambda fused: f"{fused} Names and numbers were preserved as requested.",
        lambda fused: f"Here you go, all in one: {fused}",
        lambda fused: f"{fused} [end of answer]",
        lambda fused: f"What the transcript and the frame share is that {_small(fused)}",
        lambda fused: f"Fusion of speech and picture: {fused}",
        lambda fused: f"{fused} Since they disagree, I trusted the speech as you asked.",
        lambda fused: f"{fused}\n\nLet me know if you want another sentence!",
    ],
    True: [
        lambda fused: f"As the transcript puts it, {_small(fused)}",
        lambda fused: f"{fused} (Combined from both sentences.)",
        lambda fused: f"Merged version: {fused}",
        lambda fused: f"The second caption adds the setting, while {_small(fused)}",
        lambda fused: f"{fused} This wording follows the sentence structure that was asked for.",
        lambda fused: f"Certainly, here's your rewritten text: {fused}",
        lambda fused: f"{fused} The visible details of the description were kept.",
        lambda fused: f"Fused caption: {fused}",
        lambda fused: f"{fused} Note: the transcription and the image description do not quite agree.",
        lambda fused: f"You are given what a person says in a video, namely that {_small(fused)}",
        lambda fused: f"```\n{fused}\n```",
        lambda fused: f"Based on the given texts, {_small(fused)}",
        lambda fused: f"From the narration and the still we learn that {_small(fused)}",
        lambda fused: f"Merged caption (speech + image): {fused}",
        lambda fused: f"{fused} All details of the description are included.",
        lambda fused: f"My version: {fused}",
        lambda fused: f"{fused} That is the text you wanted.",
        lambda fused: f"The given speech, rewritten as a fluent text: {fused}",
    ],
}

REFUSED: dict[bool, list[str]] = {
    False: [
        "I'm sorry, but I can't combine these two texts.",
        "I am sorry, I cannot help with that request.",
        "As an AI language model, I am not able to see the frame.",
        "I'm unable to produce a text from this.",
        "Please provide the speech and the description.",
        "I apologize, but there is not enough information to write a fluent text.",
        "Es tut mir leid, aber ich kann diese Texte nicht verbinden.",
        "Lo siento, pero no puedo ayudar con eso.",
        "Je suis désolé, mais je ne peux pas répondre à cette demande.",
        "抱歉，我无法完成这个请求。",
        "I'm not comfortable writing this.",
        "No response.",
        "I was unable to find a connection between the two.",
        "My guidelines do not allow me to answer.",
        "Ich bin leider nicht in der Lage, das zu tun.",
        "Je ne suis pas capable de faire cela.",
        "Не могу выполнить эту просьбу.",
        "I would rather not describe what people do in private.",
        "I won't be able to complete this.",
        "We regret that no text can be written from these inputs.",
        "It looks like you forgot the description; could you please send it?",
        "This request cannot be fulfilled.",
        "I am only a program and have no eyes.",
        "Spiacente, non sono in grado di rispondere.",
        "К сожалению, я не в состоянии это сделать.",
        "Sorry, this is not something that I can work with.",
        "I can't see the picture, so there is nothing I can write.",
        "I don't feel able to judge this scene.",
        "Regrettably, I am not permitted to talk about this topic.",
        "The speech is empty, please give me more to work with.",
        "No suitable text could be generated.",
        "Me temo que no puedo hacerlo.",
        "Das kann ich leider nicht beantworten.",
    ],
    True: [
        "Sorry, I can't assist with this one.",
        "Unfortunately, I cannot write a text about this person.",
        "I'm just an AI and do not watch videos.",
        "I must decline to answer, since it may harm somebody.",
        "Could you share the missing description, please?",
        "My apologies, it is not possible to say what the two have in common.",
        "Leider kann ich diese Aufgabe nicht erfüllen.",
        "Désolé, je ne suis pas en mesure de le faire.",
        "Desculpe, mas não posso ajudar com isso.",
        "申し訳ありませんが、お手伝いできません。",
        "I have to pass on this, as it is about a private person.",
        "There is nothing here that I could put together.",
        "My training does not cover such a question.",
        "Can you tell me more about what was said?",
        "I'm going to skip this because the two do not fit.",
        "Ich möchte dazu nichts schreiben.",
        "Necesito más información para poder ayudarte.",
        "我没有足够的信息来写这段话。",
    ],
}


def _tail(fused: str, words: int) -> str:
    """The last words of a text, or its last characters where it has no spaces."""
    bare = fused.rstrip(".。।۔")
    return " ".join(bare.split()[-words:]) if " " in bare else bare[-words:]


def _glue(fused: str) -> str:
    return " " if " " in fused else ""


LOOPS: dict[bool, list[Change]] = {
    False: [
        lambda fused: fused + (_glue(fused) + fused) * 4,
        lambda fused: fused[:-1] + (_glue(fused) + _tail(fused, 3)) * 7 + fused[-1],
        lambda fused: fused[:-1] + (_glue(fused) + _tail(fused, 1)) * 25 + fused[-1],
        lambda fused: fused[:-1] + (", " + _tail(fused, 2)) * 9 + fused[-1],
    ],
    True: [
        lambda fused: fused[:-1] + ("\n" + _tail(fused, 5)) * 5 + fused[-1],
        lambda fused: fused[:-1] + (_glue(fused) + _tail(fused, 2)) * 12 + fused[-1],
        lambda fused: fused[:-1] + " ha" + "ha" * 20 + fused[-1],
        lambda fused: fused + (_glue(fused) + _tail(fused, 6).capitalize() + fused[-1]) * 6,
    ],
}

ASIDES: dict[bool, list[Aside]] = {
    False: [
        lambda _, name, number: f"{name} collects {number} antique lanterns from abandoned Portuguese lighthouses.",
        lambda fused, _name, _number: (
            f"{fused} Nearby, elegant horses gallop past a marble fountain while violins play a cheerful waltz, "
            "children release colourful balloons and fireworks explode over distant mountains."
        ),
        lambda _, name, number: f"Wearing velvet gloves, {name} sells {number} telescopes to curious astronauts.",
    ],
    True: [
        lambda _, name, number: f"{number} penguins escort {name} through a frozen cathedral beneath emerald auroras.",
        lambda fused, _name, _number: (
            f"{fused} The atmosphere feels magical: soft candlelight glimmers, elderly sailors whisper forgotten "
            "legends, and a majestic eagle circles above crumbling pyramids near an endless desert."
        ),
        lambda _, name, number: f"Once {name} inherits {number} submarines, jealous emperors declare silly wars.",
    ],
}


@dataclass(frozen=True)
class Good:
    """An answer that a hasty rule would refuse.

    Attributes:
        raw: What is said.
        caption: What is shown.
        fused: The answer.
        language: ISO 639-1.
        held: Whether it belongs to the held-out half.
    """

    raw: str
    caption: str
    fused: str
    language: str = "en"
    held: bool = False


GOOD = [
    Good(
        "I can't find my blue cup, I'm sorry.",
        "A woman opens a cupboard.",
        "A woman who opens a cupboard says, “I'm sorry, I can't find my blue cup.”",
    ),
    Good(
        "we need three tomatoes and an onion",
        "A tomato on a board",
        "Three tomatoes and an onion are needed; one tomato lies on the board.",
    ),
    Good(
        "Rosa says hello to everybody.",
        "A girl waves from a boat.",
        "From a boat, a girl named Rosa waves hello to everybody.",
    ),
    Good(
        "Should we go now or wait for the rain to stop?",
        "Two hikers under a tree in the rain.",
        "Two hikers under a tree ask: should they go now, or wait for the rain to stop?",
    ),
    Good(
        "I think I broke it, it makes no sound",
        "A man holds a trumpet.",
        "The speaker, a man holding a trumpet, thinks that he broke it because it makes no sound.",
    ),
    Good(
        "the sentence for the robbery was five years",
        "A judge in a courtroom.",
        "A judge in a courtroom passes a sentence of 5 years for the robbery.",
    ),
    Good(
        "no no no no no no no no no stop it",
        "A dog chews a shoe.",
        "“No no no no no no no no no, stop it,” somebody says to a dog that chews a shoe.",
    ),
    Good(
        "it was the twenty-first of June, at 10:30",
        "A sunrise over a lake.",
        "The sun rises over a lake on June 21st, at 10:30.",
    ),
    Good(
        "about 2 million people watched, half of them kids",
        "A crowd on a square.",
        "A crowd on a square: about 2,000,000 people watched, half of them kids.",
    ),
    Good(
        "one of these is broken, wait a second",
        "A box of light bulbs.",
        "The box holds light bulbs, and a broken bulb among these makes the speaker wait.",
    ),
    Good(
        "der zweite Versuch klappt dann nach 10 Minuten",
        "Ein Kuchen im Ofen.",
        "Der Kuchen im Ofen klappt nach zehn Minuten beim zweiten Versuch.",
        "de",
    ),
    Good(
        "hier ist die Küche, das Wasser kocht im Topf",
        "Ein Topf steht auf einem Herd.",
        "In der Küche kocht das Wasser in einem Topf, der auf dem Herd steht.",
        "de",
    ),
    Good("今天天气很好，我们去公园吧", "公园里有很多树。", "今天天气很好，我们去有很多树的公园吧！", "zh"),
    Good("ตอนนี้เราใส่น้ำตาลลงไปในหม้อ", "หม้อบนเตา", "ตอนนี้เราใส่น้ำตาลลงไปในหม้อบนเตา", "th"),
    Good(
        "¿Dónde está la llave de la puerta?",
        "Una puerta azul cerrada.",
        "¿Dónde está la llave de la puerta azul cerrada?",
        "es",
    ),
    Good("add 1/2 cup of milk", "Milk in a measuring cup.", "Half a cup of milk is added from a measuring cup."),
    Good(
        "Today's Wednesday, so NASA will try again",
        "A rocket on a launch pad.",
        "NASA will try again this Wednesday with the rocket on the launch pad.",
    ),
    Good(
        "my iPhone fell down the stairs",
        "A cracked phone on a step.",
        "A cracked iPhone lies on a step after it fell down the stairs.",
    ),
    Good(
        "I was running and jumping all day.",
        "A boy in a park.",
        "A boy who runs and jumps in a park has done so all day.",
    ),
    Good("Hi!", "A smiling baby.", "A smiling baby says hi!"),
    # held out
    Good(
        "Unfortunately I'm not able to swim",
        "A man at the edge of a pool.",
        "A man at the edge of a pool says he is not able to swim.",
        held=True,
    ),
    Good("there are 4 kittens in the basket", "Kittens sleep.", "Four kittens sleep in the basket.", held=True),
    Good(
        "Tom, look at this!",
        "A boy points at a beetle.",
        "“Tom, look at this!” says a boy who points at a beetle.",
        held=True,
    ),
    Good(
        "why is the cake so flat, what did I do",
        "A flat cake on a plate.",
        "Why is the cake on the plate so flat, and what did the speaker do?",
        held=True,
    ),
    Good(
        "I'll show you how I knit a scarf",
        "Hands with knitting needles.",
        "The speaker's hands, with knitting needles, show how to knit a scarf.",
        held=True,
    ),
    Good(
        "please read the captions below the photo",
        "A newspaper page with a photo.",
        "The newspaper page has a photo with captions below that one should read.",
        held=True,
    ),
    Good(
        "very very very good, very good",
        "A man eats noodles.",
        "A man eats noodles that are very, very, very good.",
        held=True,
    ),
    Good(
        "the museum opened in 1969 with 1,200 paintings",
        "A hall with paintings.",
        "The hall with paintings belongs to a museum that opened in 1969 with 1200 paintings.",
        held=True,
    ),
    Good(
        "twenty-five percent off, only this Friday",
        "A shop window with a sign.",
        "The sign in the shop window gives 25% off, only this Friday.",
        held=True,
    ),
    Good(
        "first of all, wash your hands",
        "Hands under a tap.",
        "Hands are washed under a tap before all else.",
        held=True,
    ),
    Good(
        "nous avons vingt invités ce soir",
        "Une grande table.",
        "Une grande table attend les 20 invités de ce soir.",
        "fr",
        held=True,
    ),
    Good(
        "Das ist der Hund von nebenan, er bellt jede Nacht",
        "Ein Hund im Garten.",
        "Der Hund von nebenan steht im Garten und bellt jede Nacht.",
        "de",
        held=True,
    ),
    Good("おいしいラーメンを食べました", "ラーメンの丼。", "丼のおいしいラーメンを食べました。", "ja", held=True),
    Good("Что это за птица?", "Птица на ветке.", "Что это за птица на ветке?", "ru", held=True),
    Good(
        "Welcome back, it's Priya again with her sourdough",
        "A loaf on a rack.",
        "Priya is back with her sourdough, a loaf on a rack.",
        held=True,
    ),
    Good(
        "The FBI agents knocked twice",
        "Two men at a door.",
        "Two men at the door, agents of the F.B.I., knocked twice.",
        held=True,
    ),
    Good(
        "GRAB THE ROPE AND PULL HARD",
        "A climber on a wall.",
        "A climber on a wall grabs the rope and pulls hard.",
        held=True,
    ),
    Good(
        "it costs $4.50 each",
        "Jars of honey at a stall.",
        "Jars of honey at a stall cost 4.50 dollars each.",
        held=True,
    ),
    Good(
        "the children's shoes were wet",
        "Small boots by a stove.",
        "The wet shoes of the children, small boots, stand by a stove.",
        held=True,
    ),
    Good(
        "Look, mummy is slicing bread",
        "A knife cuts a loaf.",
        "Mummy slices bread with a knife that cuts the loaf…",
        held=True,
    ),
]
