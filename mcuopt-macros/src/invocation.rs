//! The macro's grammar.

use std::collections::BTreeMap;

use mcuopt_codegen::options::{Entry, Number, Setting};
use proc_macro2::Span;
use syn::parse::{Parse, ParseStream};
use syn::{Ident, LitBool, LitFloat, LitInt, LitStr, Token, Visibility, braced, bracketed};

/// A parsed call of the macro.
pub(crate) struct Invocation {
    /// Of the type.
    pub(crate) visibility: Visibility,
    /// The type's name, if the user chose it.
    pub(crate) name: Option<Ident>,
    /// The ONNX file.
    pub(crate) path: LitStr,
    /// The options, in order.
    pub(crate) settings: Vec<(Ident, Setting, Span)>,
}

impl Parse for Invocation {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let visibility = input.parse()?;
        let name = if input.peek(Ident) && input.peek2(Token![=]) {
            let name = input.parse()?;
            input.parse::<Token![=]>()?;
            Some(name)
        } else {
            None
        };
        if !input.peek(LitStr) {
            return Err(input.error("expected the path of an ONNX file in quotes, as in include_model!(\"kws.onnx\")"));
        }
        let path = input.parse()?;
        let mut settings: Vec<(Ident, Setting, Span)> = Vec::new();
        while !input.is_empty() {
            input.parse::<Token![,]>()?;
            if input.is_empty() {
                break;
            }
            let key: Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            if settings.iter().any(|(other, ..)| *other == key) {
                return Err(syn::Error::new(key.span(), format!("`{key}` is given twice")));
            }
            let (value, span) = setting(input)?;
            settings.push((key, value, span));
        }
        Ok(Self { visibility, name, path, settings })
    }
}

/// A string, `true` or `false`, a table, or a product of integers, so that sizes may be written as `24 * 1024`.
fn setting(input: ParseStream<'_>) -> syn::Result<(Setting, Span)> {
    if input.peek(LitStr) {
        let text: LitStr = input.parse()?;
        return Ok((Setting::Text(text.value()), text.span()));
    }
    if input.peek(LitBool) {
        let flag: LitBool = input.parse()?;
        return Ok((Setting::Flag(flag.value()), flag.span()));
    }
    if input.peek(syn::token::Brace) {
        let span = input.span();
        return Ok((table(input)?, span));
    }
    if input.peek(LitFloat) {
        let real: LitFloat = input.parse()?;
        return Ok((Setting::Real(real.base10_parse()?), real.span()));
    }
    let first: LitInt =
        input.parse().map_err(|error| syn::Error::new(error.span(), "expected a string or a number"))?;
    let mut product: usize = first.base10_parse()?;
    while input.peek(Token![*]) {
        input.parse::<Token![*]>()?;
        let factor: LitInt = input.parse()?;
        let value = factor.base10_parse()?;
        let overflow = || syn::Error::new(factor.span(), "the number is too large");
        product = product.checked_mul(value).ok_or_else(overflow)?;
    }
    Ok((Setting::Number(product), first.span()))
}

/// `{ name = number, "other/name" = [number, number], another = "word" }`.
fn table(input: ParseStream<'_>) -> syn::Result<Setting> {
    let content;
    braced!(content in input);
    let mut table = BTreeMap::new();
    while !content.is_empty() {
        let (name, span) = match content.peek(LitStr) {
            true => content.parse::<LitStr>().map(|name| (name.value(), name.span()))?,
            false => content.parse::<Ident>().map(|name| (name.to_string(), name.span()))?,
        };
        content.parse::<Token![=]>()?;
        let entry = if content.peek(LitStr) {
            Entry::Word(content.parse::<LitStr>()?.value())
        } else if content.peek(syn::token::Bracket) {
            let list;
            bracketed!(list in content);
            Entry::Numbers(list.parse_terminated(number, Token![,])?.into_iter().collect())
        } else {
            Entry::Numbers(vec![number(&content)?])
        };
        if table.insert(name.clone(), entry).is_some() {
            return Err(syn::Error::new(span, format!("`{name}` is given twice")));
        }
        if !content.is_empty() {
            content.parse::<Token![,]>()?;
        }
    }
    Ok(Setting::Table(table))
}

fn number(input: ParseStream<'_>) -> syn::Result<Number> {
    let negative = input.parse::<Option<Token![-]>>()?.is_some();
    if input.peek(LitFloat) {
        let value: f64 = input.parse::<LitFloat>()?.base10_parse()?;
        return Ok(Number::Float(if negative { -value } else { value }));
    }
    // The smallest int64 has no positive counterpart.
    let value: i128 = input.parse::<LitInt>()?.base10_parse()?;
    let value = if negative { -value } else { value };
    i64::try_from(value).map(Number::Int).map_err(|_| input.error("the number does not fit into int64"))
}
