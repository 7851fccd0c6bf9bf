// Go templates, the common subset: text → nodes.
//
//   {{.Spec.CIDR}} {{if}} {{else if}} {{else}} {{range $i, $x := .Items}} {{with}} {{end}} {{$v := …}} {{/* */}} {{- -}}
//   pipelines, parentheses, texts, numbers, true, false, nil, functions

export type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'print'; readonly pipeline: Pipeline }
  | {
      readonly kind: 'if' | 'with';
      readonly pipeline: Pipeline;
      readonly then: readonly Node[];
      readonly otherwise: readonly Node[];
    }
  | {
      readonly kind: 'range';
      readonly pipeline: Pipeline;
      readonly then: readonly Node[];
      readonly otherwise: readonly Node[];
    };

export interface Pipeline {
  /** Variables that get the value: one, or for range two (index and element). */
  readonly variables: readonly string[];
  /** `=` instead of `:=`. */
  readonly assigns: boolean;
  /** Each one's result is the last argument of the next. */
  readonly commands: readonly (readonly Operand[])[];
}

export type Operand =
  | { readonly kind: 'value'; readonly value: string | number | boolean | undefined }
  | { readonly kind: 'field'; readonly path: readonly string[] }
  | { readonly kind: 'variable'; readonly name: string; readonly path: readonly string[] }
  | { readonly kind: 'function'; readonly name: string }
  | { readonly kind: 'pipeline'; readonly pipeline: Pipeline; readonly path: readonly string[] };

export class TemplateError extends Error {
  override readonly name = 'TemplateError';
}

interface Piece {
  readonly action: boolean;
  readonly text: string;
}

export function parseTemplate(source: string): readonly Node[] {
  const parser = new TemplateParser(split(source));
  const nodes = parser.nodes();
  parser.expectEnd();
  return nodes;
}

/** Cuts text and actions apart; "{{-" and "-}}" take the blanks beside them away. */
function split(source: string): readonly Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  let trim = false;
  while (at < source.length) {
    const open = source.indexOf('{{', at);
    const end = open < 0 ? source.length : open;
    let text = source.slice(at, end);
    if (trim) text = text.trimStart();
    if (open < 0) {
      pieces.push({ action: false, text });
      break;
    }
    const close = closing(source, open + 2);
    let action = source.slice(open + 2, close);
    if (/^-\s/.test(action)) {
      action = action.slice(1);
      text = text.trimEnd();
    }
    trim = /\s-$/.test(action);
    if (trim) action = action.slice(0, -1);
    pieces.push({ action: false, text });
    if (!/^\s*\/\*.*\*\/\s*$/s.test(action)) pieces.push({ action: true, text: action.trim() });
    at = close + 2;
  }
  return pieces.filter((piece) => piece.action || piece.text !== '');
}

function closing(source: string, from: number): number {
  const pattern = /"(?:[^"\\]|\\.)*"|`[^`]*`|\}\}/gs;
  pattern.lastIndex = from;
  for (let match = pattern.exec(source); match; match = pattern.exec(source)) {
    if (match[0] === '}}') return match.index;
  }
  throw new TemplateError('unclosed action: "}}" is missing');
}

const tokenPattern =
  /\s+|"(?:[^"\\]|\\.)*"|`[^`]*`|'(?:[^'\\]|\\.)'|:=|[|(),=]|-?\d+(?:\.\d+)?|\$?[A-Za-z_0-9]*(?:\.[A-Za-z_][A-Za-z_0-9]*)+|\$[A-Za-z_0-9]*|[A-Za-z_][A-Za-z_0-9]*|\./gy;

function tokens(action: string): readonly string[] {
  const found: string[] = [];
  let at = 0;
  while (at < action.length) {
    tokenPattern.lastIndex = at;
    const match = tokenPattern.exec(action);
    if (!match) throw new TemplateError(`unexpected "${action[at]}" in {{${action}}}`);
    if (match[0].trim() !== '') found.push(match[0]);
    at = tokenPattern.lastIndex;
  }
  return found;
}

class TemplateParser {
  private readonly pieces: readonly Piece[];
  private at = 0;

  constructor(pieces: readonly Piece[]) {
    this.pieces = pieces;
  }

  expectEnd(): void {
    const piece = this.pieces[this.at];
    if (piece) throw new TemplateError(`unexpected {{${piece.text}}}`);
  }

  nodes(): readonly Node[] {
    const nodes: Node[] = [];
    for (;;) {
      const piece = this.pieces[this.at];
      if (!piece) return nodes;
      const word = piece.action ? (/^\w+/.exec(piece.text)?.[0] ?? '') : '';
      if (word === 'end' || word === 'else') return nodes;
      this.at++;
      if (!piece.action) nodes.push({ kind: 'text', text: piece.text });
      else if (word === 'if' || word === 'with' || word === 'range')
        nodes.push(this.block(word, piece.text.slice(word.length)));
      else nodes.push({ kind: 'print', pipeline: parsePipeline(piece.text) });
    }
  }

  private block(kind: 'if' | 'with' | 'range', head: string): Node {
    const pipeline = parsePipeline(head);
    const then = this.nodes();
    const piece = this.pieces[this.at++];
    if (!piece) throw new TemplateError(`{{${kind}}} is not closed: {{end}} is missing`);
    if (piece.text === 'end') return { kind, pipeline, then, otherwise: [] };
    const chained = /^else\s+(if|with)\b(.*)$/s.exec(piece.text);
    if (chained) {
      const [, word, rest = ''] = chained;
      return { kind, pipeline, then, otherwise: [this.block(word === 'with' ? 'with' : 'if', rest)] };
    }
    const otherwise = this.nodes();
    if (this.pieces[this.at++]?.text !== 'end')
      throw new TemplateError(`{{${kind}}} is not closed: {{end}} is missing`);
    return { kind, pipeline, then, otherwise };
  }
}

function parsePipeline(text: string): Pipeline {
  const reader = new PipelineReader(tokens(text), text);
  const pipeline = reader.pipeline();
  reader.expectEnd();
  return pipeline;
}

class PipelineReader {
  private readonly words: readonly string[];
  private readonly text: string;
  private at = 0;

  constructor(words: readonly string[], text: string) {
    this.words = words;
    this.text = text;
  }

  expectEnd(): void {
    if (this.at < this.words.length)
      throw new TemplateError(`unexpected "${this.words[this.at]}" in {{${this.text.trim()}}}`);
  }

  pipeline(): Pipeline {
    const { variables, assigns } = this.declaration();
    const commands: Operand[][] = [[]];
    for (;;) {
      const word = this.words[this.at];
      if (word === undefined || word === ')') break;
      this.at++;
      if (word === '|') commands.push([]);
      else commands.at(-1)?.push(this.operand(word));
    }
    if (commands.some((command) => command.length === 0))
      throw new TemplateError(`missing value in {{${this.text.trim()}}}`);
    return { variables, assigns, commands };
  }

  private declaration(): { readonly variables: readonly string[]; readonly assigns: boolean } {
    const head = this.words.slice(this.at, this.at + 4);
    const [first = '', second, third = '', fourth] = head;
    if (!/^\$\w+$/.test(first)) return { variables: [], assigns: false };
    if (second === ':=' || second === '=') {
      this.at += 2;
      return { variables: [first], assigns: second === '=' };
    }
    if (second === ',' && /^\$\w+$/.test(third) && (fourth === ':=' || fourth === '=')) {
      this.at += 4;
      return { variables: [first, third], assigns: fourth === '=' };
    }
    return { variables: [], assigns: false };
  }

  private operand(word: string): Operand {
    if (word === '(') {
      const pipeline = this.pipeline();
      if (this.words[this.at++] !== ')') throw new TemplateError(`")" is missing in {{${this.text.trim()}}}`);
      const next = this.words[this.at] ?? '';
      const path = /^\.\w/.test(next) ? next.slice(1).split('.') : [];
      if (path.length > 0) this.at++;
      return { kind: 'pipeline', pipeline, path };
    }
    if (word.startsWith('"') || word.startsWith("'")) return { kind: 'value', value: unquote(word) };
    if (word.startsWith('`')) return { kind: 'value', value: word.slice(1, -1) };
    if (/^-?\d/.test(word)) return { kind: 'value', value: Number(word) };
    if (word === '.') return { kind: 'field', path: [] };
    if (word.startsWith('.')) return { kind: 'field', path: word.slice(1).split('.') };
    if (word.startsWith('$')) {
      const [name = '$', ...path] = word.split('.');
      return { kind: 'variable', name, path };
    }
    if (word === 'true' || word === 'false') return { kind: 'value', value: word === 'true' };
    return word === 'nil' ? { kind: 'value', value: undefined } : { kind: 'function', name: word };
  }
}

function unquote(word: string): string {
  const inner = word.slice(1, -1).replace(/\\'/g, "'").replace(/^'|'$/g, '');
  return String(JSON.parse(`"${word.startsWith("'") ? inner.replaceAll('"', '\\"') : inner}"`));
}
