import java.sql.*; import java.util.*;
public class Metadata {
  static int count(ResultSet r) throws SQLException { int n=0; StringBuilder s=new StringBuilder(); while(r.next()) { n++; if(n<4) s.append(r.getString(r.getMetaData().getColumnCount()>2?3:1)).append(' ');} System.out.print(s); return n; }
  public static void main(String[] a) throws Exception {
    Connection c=DriverManager.getConnection(a[0],"ftsql",a[1]); DatabaseMetaData m=c.getMetaData();
    System.out.println("product "+m.getDatabaseProductName()+" "+m.getDatabaseProductVersion());
    System.out.println("schemas "+count(m.getSchemas()));
    System.out.println("tables "+count(m.getTables(null,"public","%",new String[]{"TABLE","VIEW"})));
    System.out.println("columns "+count(m.getColumns(null,"public","notes","%")));
    System.out.println("primary keys "+count(m.getPrimaryKeys(null,"public","notes")));
    System.out.println("index info "+count(m.getIndexInfo(null,"public","notes",false,false)));
    System.out.println("imported keys "+count(m.getImportedKeys(null,"public","notes")));
    System.out.println("exported keys "+count(m.getExportedKeys(null,"public","notes")));
    System.out.println("types "+(count(m.getTypeInfo())>10));
    System.out.println("table types "+count(m.getTableTypes()));
    System.out.println("functions "+count(m.getFunctions(null,"public","%")));
    System.out.println("procedures "+count(m.getProcedures(null,"public","%")));
    System.out.println("catalogs "+count(m.getCatalogs()));
    System.out.println("table privileges "+count(m.getTablePrivileges(null,"public","notes")));
    System.out.println("best row "+count(m.getBestRowIdentifier(null,"public","notes",0,true)));
    PreparedStatement p=c.prepareStatement("SELECT id, note, at, done, size FROM notes WHERE id = ? AND done = ?");
    for(int i=0;i<8;i++){ p.setLong(1,1); p.setBoolean(2,true); ResultSet r=p.executeQuery(); r.next(); if(i==7) System.out.println(r.getLong(1)+" "+r.getString(2)+" "+r.getTimestamp(3)+" "+r.getBoolean(4)+" "+r.getDouble(5)); }
    p=c.prepareStatement("SELECT count(*) FROM notes WHERE at >= ?"); p.setTimestamp(1,Timestamp.valueOf("2026-01-01 00:00:00")); ResultSet rr=p.executeQuery(); rr.next(); System.out.println("since "+rr.getLong(1));
    c.setAutoCommit(false); Statement s=c.createStatement(); s.setFetchSize(40); System.out.println("fetched "+count(s.executeQuery("SELECT id FROM fine_tuning_jobs")));
    c.commit(); c.setAutoCommit(true); c.setReadOnly(true);
    try { c.createStatement().executeUpdate("DELETE FROM notes"); } catch(SQLException e){ System.out.println("refused "+e.getSQLState()); }
    s=c.createStatement(); s.setQueryTimeout(1);
    try { s.executeQuery("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"); } catch(SQLException e){ System.out.println("timeout "+e.getSQLState()); }
    c.close();
  }
}
