import { expect, it } from 'vitest';
import { csv } from './csv';

it('quotes what needs it, and disarms formulas but not numbers', () => {
  const rows = [
    ['a', 'b,"c"', 'x\ny'],
    ['=SUM(A1)', '-12.50', '-x'],
    [1, null, true],
  ];
  expect(csv(rows)).toBe('a,"b,""c""","x\ny"\r\n\'=SUM(A1),-12.50,\'-x\r\n1,,true\r\n');
});
