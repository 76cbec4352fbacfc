import { processorTime } from '@chaperone/testing';
import { expect, test } from 'vitest';
import { isPlainXml } from './plain-xml.ts';

const nested = (depth: number): string => '<a>'.repeat(depth) + '</a>'.repeat(depth);
const attributes = (count: number): string => `<a ${Array.from({ length: count }, (_, at) => `b${at}="c"`).join(' ')}/>`;

test.each<[string, string, boolean]>([
  ['an element', '<a/>', true],
  ['elements, attributes and text', `<?xml version="1.0"?>\n<p:a x="1" xmlns:p='urn:x'>t &amp; &#13;<b>u</b></p:a>\n`, true],
  ['32 in one another', nested(32), true],
  ['33 in one another', nested(33), false],
  ['600 elements', `<a>${'<b/>'.repeat(599)}</a>`, true],
  ['601 elements', `<a>${'<b/>'.repeat(600)}</a>`, false],
  ['16 attributes', attributes(16), true],
  ['17 attributes', attributes(17), false],
  ['2,000 attributes in all', `<a>${attributes(16).repeat(125)}</a>`, true],
  ['more in all', `<a b="c">${attributes(16).repeat(125)}</a>`, false],
  ['a value of 4,096 characters', `<a b="${'c'.repeat(4_096)}"/>`, true],
  ['a longer one', `<a b="${'c'.repeat(4_097)}"/>`, false],
  ['nothing', '', false],
  ['text', 'hello', false],
  ['text before', 'x<a/>', false],
  ['text after', '<a/>x', false],
  ['two roots', '<a/><b/>', false],
  ['a tag that is not closed', '<a><b></a>', false],
  ['tags closed in another order', '<a><b></a></b>', false],
  ['an end without a start', '</a>', false],
  ['an end with attributes', '<a></a b="c">', false],
  ['a tag without its end', '<a', false],
  ['an attribute without quotes', '<a b=c/>', false],
  ['an attribute without a value', '<a b/>', false],
  ['a tag within a value', '<a b="<c>"/>', false],
  ['a comment', '<a><!-- b --></a>', false],
  ['CDATA', '<a><![CDATA[b]]></a>', false],
  ['a DTD', '<!DOCTYPE a><a/>', false],
  ['an instruction', '<a><?b c?></a>', false],
  ['an entity of its own', '<a>&b;</a>', false],
  ['a reference without an end', '<a>&amp</a>', false],
])('%s: %#', (_what, text, plain) => expect(isPlainXml(text)).toBe(plain));

test.each<[string, string]>([
  ['tags that are not closed', '<a>'.repeat(60_000)],
  ['blanks within a tag', `<a${' '.repeat(190_000)}!`],
  ['blanks around an equals sign', `<a b${' '.repeat(190_000)}=${' '.repeat(1_000)}`],
  ['attributes', `<a ${'b="c" '.repeat(30_000)}!`],
  ['a name', `<${'a'.repeat(190_000)}`],
  ['names with colons', `<${'a:'.repeat(90_000)}>`],
  ['quotes', `<a b=${'"'.repeat(190_000)}`],
])('190 KiB of %s are refused at once', (_what, text) => {
  const took = processorTime();
  expect(isPlainXml(text)).toBe(false);
  expect(took()).toBeLessThan(200);
});
