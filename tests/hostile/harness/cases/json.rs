//! Functions of large documents.

use crate::harness::case::{Case, read};

pub(super) fn cases() -> Vec<Case> {
    vec![
        read(
            "json_patch of wide objects",
            "SELECT length(json_patch(a.j, b.j)) FROM wide_doc a, wide_doc b WHERE a.id=1 AND b.id=2",
        ),
        read(
            "json_set with many names",
            "SELECT length(json_set(j, '$.x1',1,'$.x2',2,'$.x3',3,'$.x4',4,'$.x5',5,'$.name49999',6)) FROM wide_doc, big WHERE wide_doc.id=1",
        ),
        read(
            "json_extract from a wide object",
            "SELECT sum(json_extract(j, '$.name49999')) FROM wide_doc, big WHERE wide_doc.id=1",
        ),
        read(
            "json_group_array",
            "SELECT length(json_group_array(t)) FROM (SELECT t FROM big UNION ALL SELECT t FROM big)",
        ),
        read("json_group_object", "SELECT length(json_group_object(t, k)) FROM big"),
        read("json_tree", "SELECT count(*) FROM doc, json_tree(doc.j)"),
        read("json_each of a long array", "SELECT sum(value) FROM wide_doc, json_each(j) WHERE wide_doc.id=3"),
        read(
            "json_each within json_each",
            "SELECT count(*) FROM wide_doc w, json_each(w.j) a, json_each(w.j) b WHERE w.id=3",
        )
        .stopped(),
        read(
            "json_remove by numbers from the end",
            "SELECT length(json_remove(j, '$[#-1]','$[#-1]','$[#-1]','$[#-1]')) FROM wide_doc, big WHERE wide_doc.id=3",
        ),
        read(
            "json_array_length of a made array",
            "SELECT json_array_length('[' || replace(printf('%.*c',30000000,'1'),'1','1,') || '1]')",
        ),
        read("json_valid of deep nesting", "SELECT json_valid(printf('%.*c',100000000,'['))"),
        read("json() of spaces", "SELECT json(printf('%.*c',400000000,' ') || '1')"),
        read(
            "jsonb of a large document",
            "SELECT length(jsonb('[' || replace(printf('%.*c',30000000,'1'),'1','1,') || '1]'))",
        ),
        read("json_quote", "SELECT length(json_quote(printf('%.*c',150000000,'\"')))"),
        read("json_pretty", "SELECT length(json_pretty('[' || replace(printf('%.*c',20000000,'1'),'1','1,') || '1]'))"),
        read(
            "json of escapes",
            "SELECT length(json_extract('\"' || replace(printf('%.*c',20000000,'a'),'a','\\u0041') || '\"', '$'))",
        ),
    ]
}
