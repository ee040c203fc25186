/**
 * Names of people by list: a common given name with a capital letter, followed by a capitalised word, or by a common family name.
 *
 * The lists are ours: names that are frequent in English, Spanish, German, French, Italian, Dutch, Portuguese and Indian use. Most
 * people have other names, so this finds rows to look at and promises nothing: see `README.md`.
 */

const GIVEN = new Set(
  `Aaron Adam Aisha Alan Albert Alejandra Alejandro Alexander Alice Amanda Amit Amy Ana Andrea Andrew Angela Anita Anna Anne Antonio
  Arjun Arthur Ashley Barbara Beatriz Benjamin Bernard Betty Brandon Brenda Brian Carlos Carmen Carol Caroline Catherine Charles
  Charlotte Christian Christina Christine Christopher Claire Claudia Clara Cristina Cynthia Daniel Daniela David Deborah Deepak Dennis
  Diana Diego Donald Donna Dorothy Douglas Edward Elena Elizabeth Emily Emma Enrique Eric Erika Eva Fatima Felix Fernando Francesca
  Francesco Francisco Frank Gabriel Gary George Gerald Giovanni Giulia Gloria Gregory Hannah Hans Harold Heather Heinrich Helen Henry
  Ibrahim Ignacio Ines Isabel Isabella Jack Jacob Jacqueline James Jan Janet Javier Jeffrey Jennifer Jeremy Jessica Joan Joao Johan
  John Jonathan Jorge Jose Joseph Joshua Joyce Juan Judith Julia Julie Justin Karen Karl Katherine Kathleen Keith Kelly Kenneth Kevin
  Kimberly Klaus Larry Laura Lauren Lawrence Leonard Linda Lisa Lucas Lucia Luis Luisa Madison Manuel Marco Margaret Maria Marie Mark
  Markus Marta Martha Martin Mary Matthew Matteo Megan Melissa Michael Michelle Miguel Mohamed Mohammed Monica Nancy Natalia Nathan
  Nicholas Nicole Olivia Omar Pablo Pamela Patricia Patrick Paul Paula Pedro Peter Philip Philippe Pierre Pilar Priya Rachel Rahul Ralph
  Raymond Rebecca Ricardo Richard Robert Roberto Roger Ronald Rosa Roy Russell Ruth Ryan Samantha Samuel Sandra Sanjay Sara Sarah Scott
  Sean Sergio Sharon Shirley Silvia Simon Sofia Sophia Sophie Stefan Stephanie Stephen Steven Sunita Susan Susanne Teresa Thomas Timothy
  Tyler Ursula Valentina Vanessa Victor Victoria Vincent Virginia Walter Wayne Wilhelm William Willem Wolfgang Yusuf Zoe`.split(
    /\s+/,
  ),
);

const FAMILY = new Set(
  `Adams Ahmed Allen Alvarez Anderson Bailey Baker Becker Bell Bennett Bianchi Brooks Brown Campbell Carter Castro Chavez Chen Clark
  Collins Cook Cooper Costa Cox Cruz Davis Diaz Edwards Esposito Evans Fernandes Fernandez Ferrari Ferreira Fischer Flores Foster
  Garcia Gomez Gonzalez Gray Green Gupta Gutierrez Hall Harris Hernandez Hill Hoffmann Howard Hughes Iyer Jackson Jansen Jenkins
  Jimenez Johnson Jones Kelly Khan Kim King Klein Koch Kumar Lee Lewis Long Lopez Martin Martinez Meyer Miller Mitchell Moore Morales
  Moreno Morgan Morris Muller Murphy Murray Myers Nelson Nguyen Novak Oliveira Ortiz Parker Patel Perez Perry Peterson Phillips Powell
  Price Ramirez Ramos Reed Reyes Richardson Rivera Roberts Robinson Rodriguez Rogers Romano Romero Rossi Ruiz Russo Sanchez Sanders
  Santos Schmidt Schneider Schulz Scott Sharma Silva Singh Smith Stewart Suarez Sullivan Taylor Thomas Thompson Torres Turner Vargas
  Vazquez Visser Wagner Walker Ward Watson Weber White Williams Wilson Wood Wright Young`.split(/\s+/),
);

/** Words that follow a given name without being a family name: places and things that were named after people. */
const NOT_FAMILY = new Set([
  'Street',
  'Road',
  'Avenue',
  'Island',
  'Disease',
  'Syndrome',
  'Hospital',
  'University',
  'College',
  'River',
]);

const WORD = /(?:\p{Lu}[’'])?\p{Lu}\p{Ll}+(?:[-’']\p{Lu}\p{Ll}+)*/gu;

/** Where two or more words in a row look like somebody's name. */
export function findNames(text: string): readonly { readonly start: number; readonly end: number }[] {
  const words = [...text.matchAll(WORD)].map((match) => ({
    text: plain(match[0]),
    start: match.index,
    end: match.index + match[0].length,
  }));
  const found: { start: number; end: number }[] = [];
  for (let i = 0; i + 1 < words.length; i++) {
    if (!follows(text, words[i].end, words[i + 1].start) || !GIVEN.has(words[i].text)) continue;
    let last = i + 1;
    // A second given name may stand between.
    if (GIVEN.has(words[last].text) && last + 1 < words.length && follows(text, words[last].end, words[last + 1].start))
      last += 1;
    const family = words[last].text;
    // A family name of the list, or any capitalised word that is none of the list of things.
    if (!FAMILY.has(family) && NOT_FAMILY.has(family)) continue;
    found.push({ start: words[i].start, end: words[last].end });
    i = last;
  }
  return found;
}

/** Whether only a space, or an initial with a point, stands between two words. */
function follows(text: string, end: number, start: number): boolean {
  return /^ (?:\p{Lu}\. )?(?:(?:de|del|da|dos|van|von|der|la|los) )*$/u.test(text.slice(end, start));
}

function plain(word: string): string {
  return word.normalize('NFD').replace(/\p{M}/gu, '');
}
