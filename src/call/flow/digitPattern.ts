/**
 * Patterns of digits as dial plans write them: `X` any digit, `Z` 1-9, `N` 2-9, a final `.` for one or more digits
 * that follow, everything else itself. A pattern matches whole numbers only; each character is looked at once.
 */
const isDigit = (char: string): boolean => char >= '0' && char <= '9';

export function matchesDigits(text: string, pattern: string): boolean {
  const open = pattern.endsWith('.');
  const fixed = open ? pattern.length - 1 : pattern.length;
  if (open ? text.length <= fixed : text.length !== fixed) return false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i] as string;
    if (i >= fixed ? !isDigit(char) : !matchesOne(char, pattern[i] as string)) return false;
  }
  return true;
}

function matchesOne(char: string, rule: string): boolean {
  switch (rule) {
    case 'X':
      return isDigit(char);
    case 'Z':
      return isDigit(char) && char !== '0';
    case 'N':
      return isDigit(char) && char >= '2';
    default:
      return char === rule;
  }
}
