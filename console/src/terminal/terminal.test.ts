import { expect, test } from 'vitest';

import { Cast, type Frame } from './cast';
import { find, linesOf, MOST_HITS } from './lines';
import { clock, clockAt, countAt, placesOf } from './places';

const HEADER = '{"version":3,"term":{"cols":100,"rows":30}}\n';

const textAt = (at: number, text: string): Frame => ({ at, kind: 'text', text });

test('a cast is read in whatever pieces it comes', () => {
  const whole = `${HEADER}#\n[0.5,"o","one"]\n[1,"r","90x24"]\n[0.25,"x","3"]\n`;
  for (let cut = 0; cut <= whole.length; cut++) {
    const cast = new Cast();
    cast.push(whole.slice(0, cut));
    cast.push(whole.slice(cut));
    expect(cast.size).toEqual({ columns: 100, rows: 30 });
    expect(cast.frames).toEqual([
      { at: 500, kind: 'text', text: 'one' },
      { at: 1_500, kind: 'size', size: { columns: 90, rows: 24 } },
      { at: 1_750, kind: 'exit', status: '3' },
    ]);
  }
});

test('what was entered at prompts stands apart, each with its place', () => {
  const cast = new Cast();
  cast.push(`${HEADER}[0,"m","before all"]\n[1,"o","$ ls\\r\\n"]\n[0,"m","ls"]\n[2,"o","$ id\\r\\n"]\n[0,"m","id"]\n[0,"m",7]\n`);
  expect(cast.frames.length).toBe(2);
  expect(cast.entered).toEqual([
    { at: 1_000, frame: 0, text: 'ls' },
    { at: 3_000, frame: 1, text: 'id' },
  ]);
});

test('sizes that no browser draws, and lines that are none, are made harmless', () => {
  const cast = new Cast();
  cast.push('{"term":{"cols":1e9,"rows":"x"}}\nnonsense\n[1]\n[1,"o",7]\n["1","o","x"]\n[-5,"o","y"]\n[0,"r","99999x-1"]\n');
  expect(cast.size).toEqual({ columns: 500, rows: 24 });
  expect(cast.frames).toEqual([textAt(0, 'y'), { at: 0, kind: 'size', size: { columns: 500, rows: 24 } }]);
});

test('what is too much is left out, and said to be', () => {
  const cast = new Cast(5);
  cast.push(`${HEADER}[0,"o","abc"]\n[0,"o","def"]\n[0,"o","g"]\n`);
  expect([cast.full, cast.frames.length]).toEqual([true, 1]);
});

test('pauses are cut, and a place tells how much is drawn', () => {
  const frames = [textAt(0, 'a'), textAt(500, 'b'), textAt(60_500, 'c')];
  expect(placesOf(frames, 2_000)).toEqual([0, 500, 2_500]);
  expect(placesOf(frames, Infinity)).toEqual([0, 500, 60_500]);
  const places = placesOf(frames, 2_000);
  expect([-1, 0, 499, 500, 2_499, 2_500, 9_999].map((time) => countAt(places, time))).toEqual([0, 1, 1, 2, 2, 3, 3]);
  expect([-1, 0, 499, 500, 1_500, 2_499, 2_500, 9_999].map((time) => clockAt(frames, places, time))).toEqual([
    0, 0, 499, 500, 1_500, 2_499, 60_500, 60_500,
  ]);
  expect([0, 65_000, 3_723_000, -5].map(clock)).toEqual(['0:00', '1:05', '1:02:03', '0:00']);
});

test('lines are what people read: typed letters joined, corrections done, colours gone', () => {
  const lines = (...texts: string[]) => linesOf(texts.map((text, at) => textAt(at, text))).map((line) => line.text);
  expect(lines('$ ', 'l', 's', '\r\n', 'file\r\n')).toEqual(['$ ls', 'file']);
  expect(lines('$ lx\b\u001b[Ks -l')).toEqual(['$ ls -l']);
  expect(lines('a\u001b[1;31mb\u001b[0mc\u001b(0d\u001b(B')).toEqual(['abcd']);
  expect(lines('50%\r100%\n')).toEqual(['50%', '100%']);
  expect(lines('top\u001b[10;1Hbottom\u001b[2Jnew')).toEqual(['top', 'bottom', 'new']);
  expect(lines('a\u001b[3Cb', '\u001b[2D!')).toEqual(['a  !b']);
  expect(lines('abc\b\b\u001b[1Pd')).toEqual(['ad']);
  expect(lines('a\u001b[99999Cb').every((line) => line.length <= 4_001)).toBe(true);
  expect(lines('</script><img src=x onerror=alert(1)>')).toEqual(['</script><img src=x onerror=alert(1)>']);
});

test('words are found where their line was done, however they are written', () => {
  const lines = linesOf([textAt(10, 'nothing\r\n'), textAt(20, '$ RM'), textAt(30, ' -rf /\r\n'), textAt(40, 'rm: refused\r\n')]);
  expect(find(lines, 'rm ')).toEqual([
    { text: '$ RM -rf /', at: 30, frame: 2, from: 2, to: 4 },
    { text: 'rm: refused', at: 40, frame: 3, from: 0, to: 2 },
  ]);
  expect(find(lines, '  ')).toEqual([]);
  const many = linesOf([textAt(0, 'x\n'.repeat(MOST_HITS + 50))]);
  expect(find(many, 'x')).toHaveLength(MOST_HITS + 1);
});
