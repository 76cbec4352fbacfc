/** What was left out because a terminal would have acted on it, by what it was for. */
export type LeftOut = 'clipboard' | 'link' | 'title' | 'query' | 'other';

/** Parameters of a control sequence beyond these mean nothing to any screen; a longer one is left out whole. */
const MAX_SEQUENCE = 256;
const MAX_PARAMETERS = 32;
/** Any parameter: places, modes, and colours up to 255. */
const MAX_NUMBER = 9_999;
/** Marks on one letter, and other characters of no width, in a row. */
const MAX_MARKS = 8;

/** Finals of control sequences that draw, move, erase or colour (ECMA-48 §8.3 and xterm's ctlseqs): no other passes. */
const DRAWING = new Set('@ABCDEFGHIJKLMPSTXZ`abdefghlmrsu');
/** Of these, those whose parameter is a number of columns or rows to go, move, insert, erase or repeat. */
const COUNTS_COLUMNS = new Set('@CDIPXZab');
const COUNTS_ROWS = new Set('ABEFLMSTe');
/** With `?` before their parameters: modes, and erasing what is not protected. */
const PRIVATE = new Set('hlJK');
/** Controls that move or switch character sets: backspace to carriage return, shift out, shift in. */
const CONTROLS = new Set('\b\t\n\v\f\r\u000e\u000f');
/** In eight bits: index, next line, set a tab stop, reverse index. */
const EIGHT_BIT = new Set('\u0084\u0085\u0088\u008d');
/** After ESC, of one character: save and restore, keypads, index, next line, tab stop, reverse index, reset. */
const SINGLE = new Set('78=>DEHMcNOno|}~');
/** Begins of strings: OSC, DCS, SOS, PM, APC, after ESC or in eight bits. */
const STRINGS = new Set(']PX^_');
const STRINGS_8: Readonly<Record<string, string>> = { '\u009d': ']', '\u0090': 'P', '\u0098': 'X', '\u009e': '^', '\u009f': '_' };
const ZERO_WIDTH = /[\p{M}\p{Cf}\p{Default_Ignorable_Code_Point}]/u;
/** What needs no look, which is most of all: printable ASCII, ends of lines, letters that stand alone, and colours in short. */
const PLAIN = new RegExp(
  String.raw`(?:[\r\n\u0020-\u007e\u00a1-\u00ac\u00ae-\u02ff\u0370-\u0482\u2500-\u259f\u3041-\u3096\u4e00-\u9fff\uac00-\ud7a3]+|\u001b\[(?:\d{1,3};){0,5}\d{0,3}[mHK])+`,
  'y',
);

type State = 'ground' | 'escape' | 'intermediate' | 'sequence' | 'string' | 'string-escape';

/**
 * Makes what a program wrote to a terminal harmless to show: text and sequences that draw pass, with counts bounded; all that would act,
 * answer, or reach beyond the screen (clipboard, links, titles, device queries, printing, windows, programmable keys) is left out and
 * counted. Chunks may be cut anywhere. A positive list: what is not known does not pass.
 */
export class Harmless {
  readonly leftOut = new Map<LeftOut, number>();
  /** What counts is bounded by the screen: more of it shows nothing else, and takes for ever. */
  size = { columns: 80, rows: 24 };
  #state: State = 'ground';
  /** What of a sequence was seen, or the first characters of a string. */
  #held = '';
  #marks = 0;

  /** The part of `text` that may be shown, with what of earlier text it completes. */
  pass(text: string): string {
    let out = '';
    for (let at = 0; at < text.length; ) {
      if (this.#state === 'ground') {
        PLAIN.lastIndex = at;
        const plain = PLAIN.exec(text)?.[0];
        if (plain !== undefined) {
          out += plain;
          at += plain.length;
          this.#marks = 0;
          continue;
        }
      }
      const character = String.fromCodePoint(text.codePointAt(at) ?? 0);
      at += character.length;
      out += this.#take(character);
    }
    return out;
  }

  #take(character: string): string {
    // Cancel, substitute and escape end whatever was begun (ECMA-48, VT500 parser).
    if (character === '\u0018' || character === '\u001a') return this.#to('ground');
    if (character === '\u001b') return this.#state === 'string' ? this.#to('string-escape', this.#held) : this.#to('escape');
    if (this.#state === 'ground') return this.#ground(character);
    if (this.#state === 'string') return this.#string(character);
    if (this.#state === 'string-escape') return this.#stringEscape(character);
    if (character < '\u0020') return CONTROLS.has(character) ? character : '';
    if (this.#state === 'escape') return this.#escape(character);
    return this.#state === 'intermediate' ? this.#intermediate(character) : this.#sequence(character);
  }

  #to(state: State, held = ''): string {
    this.#state = state;
    this.#held = held;
    return '';
  }

  #leave(what: LeftOut): string {
    this.leftOut.set(what, (this.leftOut.get(what) ?? 0) + 1);
    return this.#to('ground');
  }

  #ground(character: string): string {
    if (character < '\u0020' || character === '\u007f') return CONTROLS.has(character) ? character : this.#control(character);
    if (character >= '\u0080' && character <= '\u009f') return this.#eightBit(character);
    if (!ZERO_WIDTH.test(character)) {
      this.#marks = 0;
      return character;
    }
    return ++this.#marks > MAX_MARKS ? this.#leave('other') : character;
  }

  #control(character: string): string {
    // The answerback that a terminal may be set to send.
    return character === '\u0005' ? this.#leave('query') : '';
  }

  #eightBit(character: string): string {
    if (character === '\u009b') return this.#to('sequence');
    const string = STRINGS_8[character];
    if (string !== undefined) return this.#to('string', string);
    if (character === '\u009a') return this.#leave('query');
    return EIGHT_BIT.has(character) ? character : '';
  }

  #escape(character: string): string {
    if (character === '[') return this.#to('sequence');
    if (STRINGS.has(character)) return this.#to('string', character);
    if (character >= '\u0020' && character <= '\u002f') return this.#to('intermediate', character);
    if (character === 'Z') return this.#leave('query');
    this.#to('ground');
    return SINGLE.has(character) ? `\u001b${character}` : '';
  }

  /** ESC, one intermediate and a final: character sets, and the lines and test pattern of `#`. */
  #intermediate(character: string): string {
    const held = this.#held;
    if (character >= '\u0020' && character <= '\u002f') return this.#to('intermediate', '!');
    this.#to('ground');
    return '()*+-./#%'.includes(held) && character <= '\u007e' ? `\u001b${held}${character}` : '';
  }

  #sequence(character: string): string {
    if (character >= '\u0020' && character <= '\u003f') {
      if (this.#held.length < MAX_SEQUENCE) this.#held += character;
      return '';
    }
    const held = this.#held;
    if (character > '\u007e') return this.#leave('other');
    const passed = character === 't' && TITLE_KEPT.test(held) ? '' : sequence(held, character, this.size);
    if (passed === undefined) return this.#leave('cntxpqy'.includes(character) ? 'query' : 'other');
    this.#to('ground');
    return passed;
  }

  #string(character: string): string {
    if (character === '\u0007' || character === '\u009c') return this.#leave(kindOf(this.#held));
    // Enough to know what it was for.
    if (this.#held.length < 8) this.#held += character;
    return '';
  }

  #stringEscape(character: string): string {
    this.#leave(kindOf(this.#held));
    if (character === '\\') return '';
    this.#to('escape');
    return this.#escape(character);
  }
}

/** Keeps the title, or puts it back: it is shown nowhere. */
const TITLE_KEPT = /^2[23](;\d*)*$/;
const SEQUENCE = /^(?<mark>[<=>?]?)(?<list>[\d:;]*)(?<intermediates>[ -/]*)$/;

/** A control sequence with its numbers bounded; undefined where it may not pass. */
function sequence(parameters: string, final: string, size: Harmless['size']): string | undefined {
  if (parameters.length >= MAX_SEQUENCE) return undefined;
  const { mark, list = '', intermediates } = SEQUENCE.exec(parameters)?.groups ?? {};
  if (mark === undefined || list.split(/[;:]/).length > MAX_PARAMETERS) return undefined;
  if (intermediates !== '') return KNOWN[`${intermediates}${final}`];
  // How keys are to be sent: there are none.
  if (mark !== '' && mark !== '?') return final === 'm' || final === 'u' ? '' : undefined;
  if (!(mark === '?' ? PRIVATE : DRAWING).has(final)) return undefined;
  const most = mark === '' ? mostOf(final, size) : MAX_NUMBER;
  return `\u001b[${mark}${list.replace(/\d+/g, (digits) => String(Math.min(Number(digits), most)))}${final}`;
}

/** What is known with an intermediate: soft reset, and the shape of the cursor, which is drawn one way. */
const KNOWN: Readonly<Record<string, string>> = { '!p': '\u001b[!p', ' q': '' };

function mostOf(final: string, size: Harmless['size']): number {
  if (COUNTS_ROWS.has(final)) return size.rows;
  return COUNTS_COLUMNS.has(final) ? size.columns : MAX_NUMBER;
}

/** What a string was for: https://invisible-island.net/xterm/ctlseqs/ctlseqs.html#h3-Operating-System-Commands */
function kindOf(begin: string): LeftOut {
  const number = /^\](\d{1,4})(?!\d)/.exec(begin)?.[1];
  if (number === '52') return 'clipboard';
  if (number === '8') return 'link';
  if (number === '0' || number === '1' || number === '2') return 'title';
  return begin.startsWith('P') ? 'query' : 'other';
}
